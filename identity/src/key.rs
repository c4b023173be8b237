//! A private key.
/// A private key in PKCS#8 DER, wiped on drop; `Debug` shows only its algorithm.
pub struct Key {
    _pkcs8: zeroize::Zeroizing<Vec<u8>>,
}
/// Why a key could not be read or made.
#[derive(Debug)]
pub enum KeyError {}
impl std::fmt::Display for KeyError {
    fn fmt(&self, _f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        todo!()
    }
}
impl std::error::Error for KeyError {}
