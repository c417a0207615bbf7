//! The use cases and the workers that execute effects.
