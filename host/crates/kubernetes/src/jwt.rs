//! When a token ends. Pure; nothing is verified, as only the API server can.

use sluicebox_contract::text::in_few_words;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::GeneralPurposeConfig;
use serde::Deserialize;

/// Why a text is no JSON web token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum JwtError {
    #[error("the token has {0} parts, a JSON web token has 3")]
    Parts(usize),
    #[error("the middle part of the token is not base64url")]
    Encoding,
    #[error("the middle part of the token is not JSON as expected: {0}")]
    Claims(String),
}

#[derive(Deserialize)]
struct Claims {
    #[serde(default)]
    exp: Option<u64>,
}

/// Base64 for web addresses, with or without padding: both are seen.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent),
);

/// When the token ends; none if it never does.
pub(super) fn expiry(token: &str) -> Result<Option<SystemTime>, JwtError> {
    let mut parts = token.split('.');
    let (Some(_), Some(middle), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Err(JwtError::Parts(token.split('.').count()));
    };
    let bytes = BASE64.decode(middle).map_err(|_| JwtError::Encoding)?;
    let claims: Claims = serde_json::from_slice(&bytes).map_err(|error| JwtError::Claims(in_few_words(error)))?;
    Ok(claims.exp.and_then(|seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds))))
}

/// How long a token with this end is used before it is renewed: four fifths of what is left of it.
pub(super) fn use_for(expiry: Option<SystemTime>, now: SystemTime) -> Duration {
    match expiry {
        Some(end) => end.duration_since(now).unwrap_or(Duration::ZERO) / 5 * 4,
        None => Duration::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(claims: &str) -> String {
        format!("e30.{}.c2ln", BASE64.encode(claims).trim_end_matches('='))
    }

    /// D44: a token that ends in the year 2100 is accepted.
    #[test]
    fn d44_the_end_is_read() {
        let end = UNIX_EPOCH + Duration::from_hours(4_102_444_800 / 3600);
        assert_eq!(expiry(&token(r#"{"exp":4102444800,"aud":["x"]}"#)), Ok(Some(end)));
    }

    /// D44: two parts are an error.
    #[test]
    fn d44_two_parts_are_an_error() {
        let error = expiry("e30.e30").expect_err("two parts");
        assert_eq!(error.to_string(), "the token has 2 parts, a JSON web token has 3");
        assert_eq!(expiry(""), Err(JwtError::Parts(1)));
        assert_eq!(expiry("a.b.c.d"), Err(JwtError::Parts(4)));
    }

    #[test]
    fn without_an_end_it_never_ends() {
        assert_eq!(expiry(&token(r#"{"sub":"x"}"#)), Ok(None));
        assert_eq!(use_for(None, SystemTime::now()), Duration::MAX);
    }

    #[test]
    fn what_is_no_token_is_an_error() {
        assert_eq!(expiry("a.%%.c"), Err(JwtError::Encoding));
        assert!(matches!(expiry(&token("nothing")), Err(JwtError::Claims(_))));
        assert!(matches!(expiry(&token(r#"{"exp":"soon"}"#)), Err(JwtError::Claims(_))));
    }

    #[test]
    fn it_is_renewed_before_it_ends() {
        let now = UNIX_EPOCH + Duration::from_secs(1000);
        assert_eq!(use_for(Some(now + Duration::from_secs(100)), now), Duration::from_secs(80));
        assert_eq!(use_for(Some(UNIX_EPOCH), now), Duration::ZERO);
    }
}
