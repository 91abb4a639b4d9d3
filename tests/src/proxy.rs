//! A TCP proxy between two services: it can hold traffic and cut open connections.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Whether bytes are forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Traffic {
    Flows,
    Held,
}

/// A TCP proxy before one address; it ends when dropped.
pub struct Proxy {
    /// Its listening address.
    pub address: SocketAddr,
    traffic: watch::Sender<Traffic>,
    /// Cancelling the token cuts the open connections.
    open: watch::Sender<CancellationToken>,
    _acceptor: DropGuard,
}

impl Proxy {
    /// Starts a proxy on a free port.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn before(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let (traffic, flow) = watch::channel(Traffic::Flows);
        let (open, current) = watch::channel(CancellationToken::new());
        let end = CancellationToken::new();
        let acceptor = accept(listener, target, flow, current);
        tokio::spawn(end.clone().run_until_cancelled_owned(acceptor));
        Self { address, traffic, open, _acceptor: end.drop_guard() }
    }

    /// Stops forwarding: connections stay open, but no bytes pass.
    pub fn hold(&self) {
        self.traffic.send_replace(Traffic::Held);
    }

    /// Resumes forwarding, including held bytes.
    pub fn flow(&self) {
        self.traffic.send_replace(Traffic::Flows);
    }

    /// Cuts every open connection. New ones are forwarded as before.
    pub fn cut(&self) {
        self.open.send_replace(CancellationToken::new()).cancel();
    }
}

async fn accept(
    listener: TcpListener,
    target: SocketAddr,
    traffic: watch::Receiver<Traffic>,
    current: watch::Receiver<CancellationToken>,
) {
    while let Ok((client, _)) = listener.accept().await {
        let traffic = traffic.clone();
        let cut = current.borrow().clone();
        tokio::spawn(cut.run_until_cancelled_owned(carry(client, target, traffic)));
    }
}

async fn carry(client: TcpStream, target: SocketAddr, traffic: watch::Receiver<Traffic>) {
    let Ok(service) = TcpStream::connect(target).await else {
        return;
    };
    // No Nagle delay here, since a direct connection has none either.
    let _ = (client.set_nodelay(true), service.set_nodelay(true));
    let (client_read, client_write) = client.into_split();
    let (service_read, service_write) = service.into_split();
    tokio::join!(pass(client_read, service_write, traffic.clone()), pass(service_read, client_write, traffic),);
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut traffic: watch::Receiver<Traffic>,
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length) = from.read(&mut buffer).await {
        let flows = traffic.wait_for(|traffic| *traffic == Traffic::Flows).await.is_ok();
        if length == 0 || !flows || to.write_all(&buffer[..length]).await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
}
