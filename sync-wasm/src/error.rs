//! What JavaScript catches: an `Error` with a stable `code`.
//!
//! Owns the codes of errors that come from the engine. Those of storage and connection are the driver's own.

use sync_core::id::NameError;
use sync_core::replica::EditError;
use wasm_bindgen::JsValue;

/// The codes that JavaScript can rely on; their words never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorCode {
    /// The document's name is none.
    BadName,
    /// The document is not loaded.
    NotReady,
    /// The outbox holds as many changes as it may.
    OutboxFull,
    /// A value, a place or a number in the call is not one that a document can have.
    BadValue,
    /// The change breaks a rule that every replica depends on.
    Refused,
    /// The change writes at the root key that is the engine's own.
    ReservedKey,
    /// The copy in memory was damaged and is being loaded again.
    Reloading,
    /// The document has no such conflict.
    ConflictGone,
    /// The conflict has other sides than when it was looked at.
    ConflictChanged,
    /// The conflict has no answer that could be taken back.
    NotSettled,
}

impl ErrorCode {
    /// The code as JavaScript sees it.
    pub fn word(self) -> &'static str {
        match self {
            Self::BadName => "bad-name",
            Self::NotReady => "not-ready",
            Self::OutboxFull => "outbox-full",
            Self::BadValue => "bad-value",
            Self::Refused => "refused",
            Self::ReservedKey => "reserved-key",
            Self::Reloading => "reloading",
            Self::ConflictGone => "conflict-gone",
            Self::ConflictChanged => "conflict-changed",
            Self::NotSettled => "not-settled",
        }
    }
}

/// Why a call came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct EngineError {
    /// What kind of failure it is.
    pub code: ErrorCode,
    /// The same in words, with the particulars.
    pub message: String,
}

impl EngineError {
    /// A call with something in it that can't be.
    pub(crate) fn bad_value(message: impl Into<String>) -> Self {
        Self { code: ErrorCode::BadValue, message: message.into() }
    }
}

impl From<EditError> for EngineError {
    fn from(error: EditError) -> Self {
        let code = match &error {
            EditError::NotReady => ErrorCode::NotReady,
            EditError::OutboxFull => ErrorCode::OutboxFull,
            EditError::Application(_) => ErrorCode::BadValue,
            EditError::Reserved => ErrorCode::ReservedKey,
            EditError::Damaged(_) => ErrorCode::Reloading,
            _ => ErrorCode::Refused,
        };
        Self { code, message: error.to_string() }
    }
}

impl From<NameError> for EngineError {
    fn from(error: NameError) -> Self {
        Self { code: ErrorCode::BadName, message: error.to_string() }
    }
}

impl From<EngineError> for JsValue {
    fn from(error: EngineError) -> Self {
        let js = js_sys::Error::new(&error.message);
        crate::js::set(&js, "code", error.code.word());
        js.into()
    }
}
