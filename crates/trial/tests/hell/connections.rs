//! Half of the table: connections and handshakes from hell, and what must be recorded about them.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use herald_trial::receiver::{Authority, Breakage, Flaw, Moment};
use herald_trial::{Mode, Receiver};
use socket2::{Domain, Socket, Type};

use crate::answers::closing;
use crate::common::{SECRET, receiver_with};
use crate::row::Row;

const TIMED_OUT: &str = "timeout: no answer within 2 s";

/// Returns silent and slow endpoints: only the timeout ends them.
pub fn slow() -> Vec<Row> {
    let second = Duration::from_secs(1);
    vec![
        full_backlog(),
        Row::new(
            "hangs on accept",
            Mode::hang_on_accept(),
            "dead - timeout",
            TIMED_OUT,
        ),
        Row::new(
            "hangs before the answer",
            Mode::hang_before_answer(),
            "dead - timeout",
            TIMED_OUT,
        ),
        Row::new(
            "hangs after the headers",
            Mode::hang_after_headers(),
            "delivered 200 -",
            "",
        ),
        Row::new(
            "headers a byte a second",
            Mode::Trickle(second),
            "dead - timeout",
            TIMED_OUT,
        ),
        Row::new(
            "body a byte a second",
            Mode::TrickleBody(second),
            "delivered 200 -",
            "x",
        ),
    ]
}

/// Returns a port whose queue of connections is full: the system does not even answer.
fn full_backlog() -> Row {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    socket.bind(&any_port.into()).expect("a free port");
    socket.listen(0).expect("a listening socket");
    let address = socket
        .local_addr()
        .expect("a bound socket")
        .as_socket()
        .expect("an address");
    let first = TcpStream::connect(address).expect("the only place");
    Row::at(
        "queue of connections is full",
        format!("http://{address}/"),
        (socket, first),
        "dead - connect",
        "connect: no answer (127.0.0.1",
    )
}

/// Returns endpoints that break connections, or send bytes that are not HTTP.
pub fn broken() -> Vec<Row> {
    let answered =
        |name, bytes: &str, recorded, words| Row::new(name, Mode::raw(bytes), recorded, words);
    let closed = "response: connection closed";
    vec![
        Row::new(
            "resets before the status line",
            Mode::reset(),
            "dead - connect",
            "response: connection reset",
        ),
        Row::new(
            "resets after the headers",
            Mode::hang_after_headers().then(Breakage::Reset),
            "delivered 200 -",
            "",
        ),
        Row::new(
            "closes before the request is read",
            Mode::close_early(),
            "dead - connect",
            "response: connection",
        ),
        Row::new(
            "closes before the status line",
            Mode::lose_response(),
            "dead - connect",
            closed,
        ),
        answered(
            "closes within the headers",
            "HTTP/1.1 200 OK\r\nconte",
            "dead - connect",
            closed,
        ),
        Row::new(
            "HTTP/0.9",
            Mode::bare_body(),
            "dead - connect",
            "response: not valid HTTP/1.1",
        ),
        Row::new(
            "garbage",
            Mode::garbage(),
            "dead - connect",
            "response: not valid HTTP/1.1",
        ),
        answered(
            "another protocol",
            "220 mail ESMTP\r\n250 OK\r\n",
            "dead - connect",
            "response: not valid HTTP/1.1",
        ),
        answered(
            "a status that is no number",
            "HTTP/1.1 abc OK\r\n\r\n",
            "dead - connect",
            "response: not valid HTTP/1.1",
        ),
        answered(
            "a NUL in a header",
            "HTTP/1.1 200 OK\r\nx-a: \0\r\n\r\n",
            "delivered 200 -",
            "",
        ),
        Row::new(
            "endless headers",
            Mode::endless_headers(),
            "dead - connect",
            "response: ",
        ),
        Row::new(
            "an endless header line",
            Mode::endless_header_line(),
            "dead - connect",
            "response: header larger than 64 KiB",
        ),
        Row::new(
            "interim answers without end",
            Mode::informational_flood(),
            "dead - connect",
            "response: ",
        ),
    ]
}

/// Returns endpoints with certificates and handshakes of every kind.
pub fn tls(trusted: &Authority) -> Vec<Row> {
    let stranger = Authority::new().expect("an authority");
    let with = |name, authority: &Authority, flaw, recorded, words| {
        let tls = authority.server(flaw).expect("a certificate");
        let receiver = Receiver::builder()
            .tls(tls)
            .secret(SECRET)
            .mode(Mode::Answer(closing(200)));
        let receiver = receiver.start().expect("a receiver");
        Row::at(name, receiver.url("/"), receiver, recorded, words)
    };
    // Sends bytes before hearing anything, to a client that begins a TLS session.
    let blurting = |name, saying: &[u8], recorded, words| {
        let mode = Mode::Break {
            at: Moment::Accepted,
            saying: saying.to_vec(),
            how: Breakage::Hang,
        };
        let receiver = receiver_with(mode);
        let url = receiver.url("/").replacen("http:", "https:", 1);
        Row::at(name, url, receiver, recorded, words)
    };
    let unknown = "TLS: unknown certificate authority";
    let tls_1_0 = [
        &b"\x16\x03\x01\0\x2a\x02\0\0\x26\x03\x01"[..],
        &[7; 32],
        b"\0\0\x2f\0",
    ]
    .concat();
    vec![
        with(
            "a sound certificate",
            trusted,
            Flaw::None,
            "delivered 200 -",
            "",
        ),
        with(
            "certificate expired",
            trusted,
            Flaw::Expired,
            "dead - tls",
            "TLS: certificate expired",
        ),
        with(
            "certificate not yet valid",
            trusted,
            Flaw::NotYetValid,
            "dead - tls",
            "TLS: certificate not yet valid",
        ),
        with(
            "certificate of another host",
            trusted,
            Flaw::OtherHost,
            "dead - tls",
            "TLS: certificate is for another host name",
        ),
        with(
            "certificate signed by itself",
            trusted,
            Flaw::SelfSigned,
            "dead - tls",
            unknown,
        ),
        with(
            "certificate of an unknown CA",
            &stranger,
            Flaw::None,
            "dead - tls",
            unknown,
        ),
        blurting(
            "hangs in the handshake",
            b"",
            "dead - tls",
            "TLS: no answer to the handshake",
        ),
        blurting(
            "HTTP where TLS is spoken",
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            "dead - tls",
            "TLS: the server does not answer in TLS",
        ),
        blurting(
            "TLS 1.0",
            &tls_1_0,
            "dead - tls",
            "TLS: no TLS version or cipher suite in common",
        ),
    ]
}
