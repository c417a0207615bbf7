//! Cases that were once wrong, each with the sentence that must hold.
