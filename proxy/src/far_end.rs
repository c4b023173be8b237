//! Whoever is at the other end of a connection, however it is wrapped: there, though it sends nothing more, or gone.

use daemon::socket::Socket;
use std::io::Result;
use std::pin::Pin;
use tokio_rustls::server::TlsStream;

/// Resolves when whoever is at the other end of a connection is gone: [`Socket::gone`].
pub(crate) type Gone = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Something whose other end can be watched without reading or writing.
pub(crate) trait FarEnd {
    /// Watches it from now on. Costs a descriptor.
    ///
    /// # Errors
    /// There is none left.
    fn gone(&self) -> Result<Gone>;
}

impl FarEnd for Socket {
    fn gone(&self) -> Result<Gone> {
        Ok(Box::pin(Socket::gone(self)?))
    }
}

impl<S: FarEnd> FarEnd for TlsStream<S> {
    fn gone(&self) -> Result<Gone> {
        self.get_ref().0.gone()
    }
}

impl<S: FarEnd + ?Sized> FarEnd for Box<S> {
    fn gone(&self) -> Result<Gone> {
        (**self).gone()
    }
}
