//! The tag part of a container image reference.

/// Why a tag was not replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ImageTagError {
    /// The new tag is not one.
    #[error("the tag must be 1 to 128 of A-Z a-z 0-9 . _ - and start with a letter, a digit or an underscore")]
    BadTag,
    /// The reference is empty or has white space.
    #[error("the value is not an image reference")]
    NotAnImage,
    /// `name@sha256:…`: a tag would not decide what runs.
    #[error("the image is pinned by digest, so its tag does not decide what runs")]
    PinnedByDigest,
}

/// `image` with its tag replaced, or added where it had none. The name, a registry's port included, stays as it is.
///
/// # Errors
/// See [`ImageTagError`].
pub fn with_tag(image: &str, tag: &str) -> Result<String, ImageTagError> {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let tag_ok = tag.len() <= 128 && tag.bytes().next().is_some_and(word) && tag.bytes().all(|b| word(b) || matches!(b, b'.' | b'-'));
    if !tag_ok {
        return Err(ImageTagError::BadTag);
    }
    if image.contains('@') {
        return Err(ImageTagError::PinnedByDigest);
    }
    let last = image.rfind('/').map_or(0, |slash| slash + 1);
    let name_end = image[last..].find(':').map_or(image.len(), |colon| last + colon);
    let name = &image[..name_end];
    if name_end == last || name.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(ImageTagError::NotAnImage);
    }
    Ok(format!("{name}:{tag}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_tag_changes() {
        for (image, tag, expected) in [
            ("nginx", "1.27", Ok("nginx:1.27")),
            ("nginx:1.26", "1.27", Ok("nginx:1.27")),
            ("registry.example:5000/team/app:v1", "v2", Ok("registry.example:5000/team/app:v2")),
            ("registry.example:5000/team/app", "v2", Ok("registry.example:5000/team/app:v2")),
            ("ghcr.io/a/b@sha256:00", "v2", Err(ImageTagError::PinnedByDigest)),
            ("nginx:1", "", Err(ImageTagError::BadTag)),
            ("nginx:1", "-x", Err(ImageTagError::BadTag)),
            ("nginx:1", "1 # x", Err(ImageTagError::BadTag)),
            ("", "1", Err(ImageTagError::NotAnImage)),
            ("a b", "1", Err(ImageTagError::NotAnImage)),
        ] {
            assert_eq!(with_tag(image, tag), expected.map(str::to_owned), "{image}");
        }
    }
}
