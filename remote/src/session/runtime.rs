//! The threads on which everything asynchronous happens.

use std::future::Future;

/// A small tokio runtime. Tasks hold sessions, never this: it must not be dropped by one of them.
#[derive(Debug)]
pub(crate) struct Runtime {
    /// Taken when dropped.
    inner: Option<tokio::runtime::Runtime>,
}

/// Enough for the network; what blocks has threads of its own.
const THREADS: usize = 2;

impl Runtime {
    /// Starts the threads.
    pub(crate) fn start() -> std::io::Result<Self> {
        let inner = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("kiln-remote")
            .enable_all()
            .build()?;
        Ok(Self { inner: Some(inner) })
    }

    fn inner(&self) -> &tokio::runtime::Runtime {
        self.inner.as_ref().expect("taken only when dropped")
    }

    /// Waits for a future on the calling thread.
    pub(crate) fn wait<F: Future>(&self, future: F) -> F::Output {
        self.inner().block_on(future)
    }

    /// Lets a future run by itself.
    pub(crate) fn spawn<F>(&self, future: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.inner().spawn(future)
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.take() {
            inner.shutdown_background();
        }
    }
}
