//! A TCP proxy that is as bad as a network can be.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What the proxy does with what the server says.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    /// Pass it on.
    Pass,
    /// Keep it, and the connection open.
    Hold,
    /// Pass it on a few bytes at a time.
    Trickle,
    /// Hang up after so many bytes, once; then pass.
    CutOnceAfter(u64),
}

/// A proxy in front of a port; ends with the test.
pub(crate) struct Proxy {
    port: u16,
    state: Arc<State>,
}

struct State {
    way: Mutex<Way>,
    passed: AtomicU64,
    connections: AtomicU64,
    open: Mutex<Vec<TcpStream>>,
    closed: AtomicBool,
}

impl Proxy {
    pub(crate) fn new(server: u16, way: Way) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State {
            way: Mutex::new(way),
            passed: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            open: Mutex::default(),
            closed: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if accepting.closed.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, server)) else {
                    continue;
                };
                accepting.connections.fetch_add(1, Ordering::SeqCst);
                let mut open = accepting.open.lock().unwrap();
                open.push(client.try_clone().unwrap());
                drop(open);
                let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Both);
                });
                let state = Arc::clone(&accepting);
                thread::spawn(move || state.back(server, client));
            }
        });
        Self { port, state }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("grpc://127.0.0.1:{}", self.port)
    }

    pub(crate) fn set(&self, way: Way) {
        *self.state.way.lock().unwrap() = way;
    }

    /// Hangs up on everybody.
    pub(crate) fn cut(&self) {
        for client in self.state.open.lock().unwrap().drain(..) {
            let _ = client.shutdown(Shutdown::Both);
        }
    }

    /// How many connections there were.
    pub(crate) fn connections(&self) -> u64 {
        self.state.connections.load(Ordering::SeqCst)
    }
}

impl State {
    fn back(&self, mut server: TcpStream, mut client: TcpStream) {
        let mut buffer = [0; 16 << 10];
        while let Ok(read @ 1..) = server.read(&mut buffer) {
            let way = *self.way.lock().unwrap();
            let passed = self.passed.fetch_add(read as u64, Ordering::SeqCst) + read as u64;
            let written = match way {
                Way::Pass => client.write_all(&buffer[..read]),
                Way::Hold => {
                    while matches!(*self.way.lock().unwrap(), Way::Hold)
                        && !self.closed.load(Ordering::SeqCst)
                    {
                        thread::sleep(Duration::from_millis(10));
                    }
                    client.write_all(&buffer[..read])
                }
                Way::Trickle => buffer[..read].chunks(16).try_for_each(|few| {
                    thread::sleep(Duration::from_millis(20));
                    client.write_all(few)
                }),
                Way::CutOnceAfter(bytes) if passed >= bytes => {
                    *self.way.lock().unwrap() = Way::Pass;
                    break;
                }
                Way::CutOnceAfter(_) => client.write_all(&buffer[..read]),
            };
            if written.is_err() {
                break;
            }
        }
        let _ = client.shutdown(Shutdown::Both);
        let _ = server.shutdown(Shutdown::Both);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.closed.store(true, Ordering::SeqCst);
        // Wakes the one that accepts.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}
