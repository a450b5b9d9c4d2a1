//! Connections for ureq: an idle one from the pool, or a new one to an address that the resolver let through.
//!
//! It uses only addresses that `resolver` judged, and resolves nothing itself: no second look-up happens between the
//! judgement and the dialling. With a proxy these are the proxy's addresses, and the proxy opens a tunnel to the host.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use herald_core::egress::proxy::{MAX_ANSWER, Proxy, check_answer};
use http::Uri;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use socket2::{Domain, Protocol, Type};
use ureq::unversioned::transport::{ConnectionDetails, Connector};

use crate::failure::{Failure, io_words};
use crate::line::{Channel, Line};
use crate::pool::{Pool, Purpose};
use crate::resolver::{bare_host, port_of};
use crate::socket::Socket;
use crate::transport::Wire;
use herald_core::egress::agent::AgentKey;

/// Every address gets at least this long, even if many share the time.
const MIN_SHARE: Duration = Duration::from_millis(50);

/// Opens the connections of one agent.
pub(crate) struct Dialer {
    pub(crate) key: Arc<AgentKey>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) tls: Arc<ClientConfig>,
    pub(crate) source_address: Option<IpAddr>,
    pub(crate) proxy: Option<Arc<Proxy>>,
    pub(crate) max_descriptor: u64,
}

impl Dialer {
    fn open(&self, details: &ConnectionDetails<'_>) -> Result<Box<Line>, ureq::Error> {
        let started = Instant::now();
        let deadline = started
            .checked_add(*details.timeout.after)
            .unwrap_or(started);
        let (stream, peer) = self.dial(&details.addrs, deadline)?;
        let mut socket = Socket::new(stream);
        // Registered before the handshake, so that this can be interrupted as well.
        (details.register_shutdown)(socket.shutdown_handle())?;
        if let Some(proxy) = &self.proxy {
            socket.allow(deadline.saturating_duration_since(Instant::now()));
            open_tunnel(proxy, details.uri, &mut socket)?;
        }
        let channel = if details.needs_tls() {
            socket.allow(deadline.saturating_duration_since(Instant::now()));
            self.shake_hands(bare_host(details.uri), socket)?
        } else {
            Channel::Clear(socket)
        };
        Ok(Box::new(Line::new(channel, peer)))
    }

    /// Tries the addresses in order. Each except the last gets half of the remaining time.
    fn dial(
        &self,
        addresses: &[SocketAddr],
        deadline: Instant,
    ) -> Result<(TcpStream, SocketAddr), Failure> {
        let mut failure = Failure::no_source_address_fits();
        let candidates: Vec<SocketAddr> = addresses
            .iter()
            .copied()
            .filter(|address| {
                self.source_address
                    .is_none_or(|source| source.is_ipv4() == address.is_ipv4())
            })
            .collect();
        for (tried, address) in candidates.iter().enumerate() {
            let left = deadline.saturating_duration_since(Instant::now());
            let is_last = tried + 1 == candidates.len();
            let share = if is_last { left } else { left / 2 };
            match self.dial_address(*address, share.max(MIN_SHARE)) {
                Ok(stream) => return Ok((stream, *address)),
                Err(error) => failure = Failure::connect(&error, *address),
            }
            if Instant::now() >= deadline {
                break;
            }
        }
        Err(failure)
    }

    fn dial_address(&self, address: SocketAddr, time: Duration) -> io::Result<TcpStream> {
        let socket = socket2::Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        // The lowest free descriptor is given out first: this number shows that few are left.
        if u64::try_from(socket.as_raw_fd()).is_ok_and(|number| number >= self.max_descriptor) {
            return Err(io::Error::from_raw_os_error(libc::EMFILE));
        }
        if let Some(source) = self.source_address {
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        socket.set_tcp_nodelay(true)?;
        socket.connect_timeout(&address.into(), time)?;
        Ok(socket.into())
    }

    fn shake_hands(&self, host: &str, mut socket: Socket) -> Result<Channel, Failure> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| Failure::tls(format!("\"{host}\" is not a valid host name")))?;
        let mut connection = ClientConnection::new(Arc::clone(&self.tls), name)
            .map_err(|error| Failure::handshake(&io::Error::other(error)))?;
        connection
            .complete_io(&mut socket)
            .map_err(|error| Failure::handshake(&error))?;
        Ok(Channel::Tls(Box::new(StreamOwned::new(connection, socket))))
    }
}

/// Opens a tunnel through the proxy to the host of the URL.
fn open_tunnel(proxy: &Proxy, uri: &Uri, socket: &mut Socket) -> Result<(), Failure> {
    let host = uri.host().unwrap_or_default();
    let request = proxy.connect_request(host, port_of(uri));
    let failed = |error: io::Error| Failure::proxy(io_words(&error));
    socket.write_all(request.as_bytes()).map_err(failed)?;
    // Byte by byte: bytes after the empty line belong to the host.
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if socket.read(&mut byte).map_err(failed)? == 0 {
            return Err(Failure::proxy("connection closed before an answer"));
        }
        head.extend(byte);
        if head.len() > MAX_ANSWER {
            return Err(Failure::proxy("the answer is too long"));
        }
    }
    check_answer(&head).map_err(Failure::proxy)
}

impl Connector<()> for Dialer {
    type Out = Wire;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _chained: Option<()>,
    ) -> Result<Option<Wire>, ureq::Error> {
        let purpose = Purpose::new(&self.key, details.uri);
        // No idle connection is young enough for a request that wants a fresh one.
        let kept = if details.config.max_idle_age().is_zero() {
            None
        } else {
            self.pool.take(&purpose, &details.addrs)
        };
        let is_reused = kept.is_some();
        let line = match kept {
            Some(line) => line,
            None => self.open(details)?,
        };
        Ok(Some(Wire::new(
            line,
            is_reused,
            Arc::clone(&self.pool),
            purpose,
        )))
    }
}

impl fmt::Debug for Dialer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Dialer")
            .field("key", &self.key)
            .field("source_address", &self.source_address)
            .field("proxy", &self.proxy)
            .finish_non_exhaustive()
    }
}
