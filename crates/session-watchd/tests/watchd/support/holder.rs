//! Whoever has the daemon hold a connection.

use std::io::{IoSlice, IoSliceMut, PipeReader, PipeWriter};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    SocketAddrUnix, SocketFlags, SocketType,
};

use super::LIMIT;

/// A connection with the daemon.
#[derive(Debug)]
pub struct Holder(OwnedFd);

impl AsFd for Holder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Holder {
    /// A new one.
    pub fn connect(path: &Path) -> rustix::io::Result<Self> {
        let flags = SocketFlags::CLOEXEC;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
        // A daemon that does not answer fails the test instead of holding it up.
        set_socket_timeout(&socket, Timeout::Recv, Some(LIMIT))?;
        Ok(Self(socket))
    }

    /// Sends a message with descriptors, and gives the answer.
    pub fn ask(&self, message: &[u8], descriptors: &[BorrowedFd<'_>]) -> String {
        self.send(message, descriptors);
        self.answer()
    }

    /// Sends it.
    pub fn send(&self, message: &[u8], descriptors: &[BorrowedFd<'_>]) {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            assert!(ancillary.push(SendAncillaryMessage::ScmRights(descriptors)));
        }
        let parts = [IoSlice::new(message)];
        rustix::net::sendmsg(&self.0, &parts, &mut ancillary, SendFlags::NOSIGNAL).unwrap();
    }

    /// What the daemon answers.
    pub fn answer(&self) -> String {
        let mut bytes = [0_u8; 256];
        let mut into = [IoSliceMut::new(&mut bytes)];
        let nothing = &mut RecvAncillaryBuffer::default();
        let received = rustix::net::recvmsg(&self.0, &mut into, nothing, RecvFlags::empty()).unwrap();
        String::from_utf8(bytes[..received.bytes].to_vec()).unwrap()
    }

    /// Asks for a session to be held by a pipe that is gone at once, and gives the answer.
    pub fn ask_with_a_pipe(&self, session: u64) -> String {
        let (reader, _writer) = std::io::pipe().unwrap();
        self.ask(format!("watch Session{session}").as_bytes(), &[reader.as_fd()])
    }

    /// Has a session held, and gives the end whose closing ends it.
    pub fn hold(&self, session: u64) -> PipeWriter {
        let (reader, writer): (PipeReader, PipeWriter) = std::io::pipe().unwrap();
        assert_eq!(self.ask(format!("watch Session{session}").as_bytes(), &[reader.as_fd()]), "ok");
        writer
    }
}
