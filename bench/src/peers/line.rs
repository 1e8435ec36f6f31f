//! A socket whose conversation is measured: bytes, round trips, the server's processor time.

use std::time::Instant;

use bytes::Bytes;

use crate::figures::Error;
use crate::process::Process;
use crate::rows::paper::Cost;
use crate::wire::Socket;

/// A socket that counts round trips as ours are counted.
pub(super) struct Line {
    /// The socket below.
    pub(super) socket: Socket,
    trips: u32,
    /// Something came since the last frame was sent.
    heard: bool,
    cpu_ms: f64,
    start: Instant,
}

impl Line {
    /// Measures nothing but round trips.
    pub(super) fn new(socket: Socket) -> Self {
        Self { socket, trips: 0, heard: true, cpu_ms: 0.0, start: Instant::now() }
    }

    /// Begins to measure, when the server has come to rest.
    pub(super) async fn measured(socket: Socket, server: &Process) -> Result<Self, Error> {
        server.calm().await?;
        let cpu_ms = server.cpu_ms_fine()?;
        Ok(Self { cpu_ms, ..Self::new(socket) })
    }

    /// Sends a frame.
    pub(super) async fn send(&mut self, frame: Vec<u8>) -> Result<(), Error> {
        self.trips += u32::from(std::mem::take(&mut self.heard));
        self.socket.send(frame.into()).await
    }

    /// The next frame.
    pub(super) async fn next(&mut self) -> Result<Bytes, Error> {
        let frame = self.socket.next().await?;
        self.heard = true;
        Ok(frame)
    }

    /// What was spent until now, when the client has just got what it wanted.
    pub(super) fn cost(&self, server: &Process) -> Result<Cost, Error> {
        let wall_ms = self.start.elapsed().as_secs_f64() * 1e3;
        let (up, down) = self.socket.bytes();
        let cpu_ms = server.cpu_ms_fine()? - self.cpu_ms;
        Ok(Cost { up: up as f64, down: down as f64, trips: f64::from(self.trips), cpu_ms, wall_ms })
    }
}
