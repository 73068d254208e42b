//! A Service with a few replicas: each new connection goes to one that is taken for ready.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::net::{TcpListener, TcpStream};

/// A TCP balancer.
#[derive(Clone)]
pub(crate) struct Balancer {
    pub(crate) address: SocketAddr,
    replicas: Arc<Mutex<Vec<SocketAddr>>>,
}

impl Balancer {
    pub(crate) async fn new(replicas: Vec<SocketAddr>) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let replicas = Arc::new(Mutex::new(replicas));
        let (known, turn) = (Arc::clone(&replicas), AtomicUsize::new(0));
        tokio::spawn(async move {
            while let Ok((mut client, _)) = socket.accept().await {
                let to = {
                    let known = known.lock().unwrap();
                    known[turn.fetch_add(1, Ordering::Relaxed) % known.len()]
                };
                tokio::spawn(async move {
                    let Ok(mut server) = TcpStream::connect(to).await else { return };
                    drop(client.set_nodelay(true));
                    drop(server.set_nodelay(true));
                    drop(tokio::io::copy_bidirectional(&mut client, &mut server).await);
                });
            }
        });
        Self { address, replicas }
    }

    pub(crate) fn add(&self, replica: SocketAddr) {
        self.replicas.lock().unwrap().push(replica);
    }

    pub(crate) fn remove(&self, replica: SocketAddr) {
        self.replicas.lock().unwrap().retain(|known| *known != replica);
    }
}
