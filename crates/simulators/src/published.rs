//! Where the published API descriptions are: data of other projects, and no part of this one.

use std::path::PathBuf;
use std::sync::Once;

/// Names the folder with the published descriptions.
const VARIABLE: &str = "COUNTERSIGN_API_SPECS";

/// The folder that the environment names. Without one nothing is held against the descriptions; the log says so once.
pub(crate) fn descriptions() -> Option<PathBuf> {
    static WORD: Once = Once::new();
    let folder = std::env::var_os(VARIABLE).filter(|folder| !folder.is_empty());
    if folder.is_none() {
        WORD.call_once(|| tracing::info!("{VARIABLE} is not set: the simulators are not checked against the published API descriptions"));
    }
    folder.map(PathBuf::from)
}
