//! The sink: answers every request with 200 as cheaply as possible, because it shares the processors with what is
//! measured. It uses one thread for all connections.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
const MOST_HEADERS: usize = 32;
/// How long the thread may take to notice the end of the sink.
const TICK_MILLIS: u16 = 50;

/// Receives the body of each request, on the sink's thread, before the answer.
pub type Observer = Arc<dyn Fn(&[u8]) + Send + Sync>;

/// Takes requests until it is dropped.
#[derive(Debug)]
pub struct Sink {
    address: SocketAddr,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Sink {
    pub fn start(observer: Observer) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let is_over = Arc::new(AtomicBool::new(false));
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        watch(&epoll, &listener)?;
        let mut serving = Serving {
            listener,
            epoll,
            connections: HashMap::new(),
            observer,
        };
        let over = Arc::clone(&is_over);
        let thread = thread::Builder::new()
            .name("sink".to_owned())
            .spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    serving.turn();
                }
            })?;
        Ok(Self {
            address,
            is_over,
            thread: Some(thread),
        })
    }

    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Serving {
    listener: TcpListener,
    epoll: Epoll,
    connections: HashMap<RawFd, Connection>,
    observer: Observer,
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
}

impl Serving {
    fn turn(&mut self) {
        let mut events = [EpollEvent::empty(); 64];
        let ready = self
            .epoll
            .wait(&mut events, EpollTimeout::from(TICK_MILLIS));
        for event in &events[..ready.unwrap_or(0)] {
            let Ok(descriptor) = RawFd::try_from(event.data()) else {
                continue;
            };
            if descriptor == self.listener.as_raw_fd() {
                self.accept();
            } else if let Some(connection) = self.connections.get_mut(&descriptor)
                && connection.serve(&self.observer).is_err()
            {
                // Closing it also removes it from the epoll.
                self.connections.remove(&descriptor);
            }
        }
    }

    fn accept(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            let is_ready = stream
                .set_nonblocking(true)
                .and_then(|()| stream.set_nodelay(true))
                .and_then(|()| watch(&self.epoll, &stream));
            if is_ready.is_ok() {
                let connection = Connection {
                    stream,
                    buffer: vec![0; 16 << 10],
                    filled: 0,
                };
                self.connections
                    .insert(connection.stream.as_raw_fd(), connection);
            }
        }
    }
}

fn watch(epoll: &Epoll, socket: &(impl AsRawFd + std::os::fd::AsFd)) -> io::Result<()> {
    let data = u64::try_from(socket.as_raw_fd()).map_err(io::Error::other)?;
    Ok(epoll.add(socket, EpollEvent::new(EpollFlags::EPOLLIN, data))?)
}

impl Connection {
    /// Fails when the connection is over.
    fn serve(&mut self, observer: &Observer) -> io::Result<()> {
        if self.filled == self.buffer.len() {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        let read = match self.stream.read(&mut self.buffer[self.filled..]) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        self.filled += read;
        while let Some((head, body)) = measure(&self.buffer[..self.filled])? {
            let end = head + body;
            if end > self.filled {
                break;
            }
            observer(&self.buffer[head..end]);
            self.stream.write_all(ANSWER)?;
            self.buffer.copy_within(end..self.filled, 0);
            self.filled -= end;
        }
        Ok(())
    }
}

/// Returns the lengths of head and body, once the head is complete.
fn measure(bytes: &[u8]) -> io::Result<Option<(usize, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let status = request.parse(bytes).map_err(io::Error::other)?;
    let httparse::Status::Complete(head) = status else {
        return Ok(None);
    };
    let length = request
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("content-length"))
        .and_then(|header| std::str::from_utf8(header.value).ok()?.parse().ok());
    length
        .map(|length| Some((head, length)))
        .ok_or_else(|| io::Error::other("a request without content-length"))
}
