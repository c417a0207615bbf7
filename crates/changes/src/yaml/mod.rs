//! Edits of single values in YAML files that leave every other byte alone.
//!
//! A YAML library that loads and saves loses comments and layout, and text replacement lets a value become structure. So a file is parsed
//! only to learn *where* things stand; the new value is written in quoting that cannot be misread and spliced in at that place; then the
//! result is parsed again and compared with the old data changed in exactly that one place. Whatever does not come out equal is an error.
//!
//! Aliases are never expanded, so a file cannot blow up in memory, and sizes and nesting have [limits](Limits).

mod add;
mod edit;
mod error;
mod image;
mod layout;
mod locate;
mod path;
mod plan;
mod remove;
mod replace;
mod scalar;
pub(crate) mod tree;

pub use edit::{Edit, Limits, Selector, apply, get};
pub use error::{EditError, EditErrorKind};
pub use image::{ImageTagError, with_tag};
pub use path::{Path, PathError, Step};
pub use scalar::{NotScalar, Scalar};
