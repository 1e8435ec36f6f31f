//! The soak: editors, readers, presence, reconnects and kills together for as long as wanted, and whether memory, latency and handles stay flat.
//!
//! Owns the server's lives and the windows in which it is looked at. What the people do is in `people`. Unlike the rows it has nothing to
//! compare with but itself: a later window with an earlier one. Anything acknowledged that is not there after a kill ends the run as failed, and so
//! does what has grown beyond the bounds of `judge`.

mod judge;
mod people;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::figures::{Error, heading, percentile};
use crate::process::Process;
use crate::rows::Bench;

/// The server is killed at the end of each life but the last, which it may end politely.
const LIVES: u32 = 4;

/// Looks at the server during one life.
const WINDOWS: u32 = 5;

/// A shorter run has windows of which each is chance.
const JUDGED_MINUTES_MIN: f64 = 1.0;

/// How long people may take to finish what they began when the last life ends.
const ENDING_WITHIN: Duration = Duration::from_secs(30);

/// What all people share.
#[derive(Debug)]
struct Stage {
    /// Where the server listens. Changes with each of its lives.
    address: watch::Receiver<std::net::SocketAddr>,
    stop: watch::Receiver<bool>,
    start: Instant,
    seen: Mutex<Seen>,
    counts: Counts,
}

/// What people saw since the last look.
#[derive(Debug, Default)]
struct Seen {
    ack_ms: Vec<f64>,
    delivery_ms: Vec<f64>,
}

/// What people did since the start.
#[derive(Debug, Default)]
struct Counts {
    acknowledged: AtomicU64,
    delivered: AtomicU64,
    presence: AtomicU64,
    reconnects: AtomicU64,
    documents: AtomicU64,
}

impl Stage {
    fn micros(&self) -> u64 {
        self.start.elapsed().as_micros() as u64
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().expect("nobody panics while holding it")
    }
}

/// What one look found.
#[derive(Clone, Copy, Debug)]
struct Look {
    life: u32,
    minute: f64,
    rss_mib: f64,
    handles: f64,
    cpu_percent: f64,
    acks_per_s: f64,
    ack_p50_ms: f64,
    ack_p99_ms: f64,
    delivery_p50_ms: f64,
    delivery_p99_ms: f64,
}

/// Runs for so many minutes, or until it is interrupted.
pub(crate) async fn run(bench: &Bench, minutes: f64) -> Result<(), Error> {
    heading("soak", &format!("{minutes} minutes, {} kills: {}", LIVES - 1, people::WHAT));
    let data = bench.data()?;
    let mut server = bench.product(data.path())?;
    let ((moved, address), (halt, stop)) = (watch::channel(server.address), watch::channel(false));
    let stage =
        Arc::new(Stage { address, stop, start: Instant::now(), seen: Mutex::default(), counts: Counts::default() });
    let mut tasks = people::come(&stage);
    let window = Duration::from_secs_f64(minutes * 60.0 / f64::from(LIVES * WINDOWS));
    println!("{HEAD}");
    let mut looks = Vec::new();
    for life in 1..=LIVES {
        if life > 1 {
            // It is killed when dropped.
            drop(server);
            server = bench.product(data.path())?;
            moved.send_replace(server.address);
        }
        for _ in 0..WINDOWS {
            let before = (server.cpu_ms_fine()?, Instant::now(), stage.counts.acknowledged.load(Ordering::Relaxed));
            *stage.seen() = Seen::default();
            tokio::select! {
                () = tokio::time::sleep(window) => {}
                Some(ended) = tasks.join_next() => return Err(early(ended)),
                _ = tokio::signal::ctrl_c() => return Err("interrupted; the windows above stand".into()),
            }
            let look = look(&stage, &server, life, before)?;
            println!("{}", look.row());
            looks.push(look);
        }
    }
    halt.send_replace(true);
    finish(&mut tasks).await?;
    server.stop()?;
    bench.maintain("verify", data.path())?;
    tell(&stage, &looks);
    if minutes < JUDGED_MINUTES_MIN {
        println!("not judged: less than {JUDGED_MINUTES_MIN} minutes show no growth");
        return Ok(());
    }
    let broken: Vec<_> = judge::judge(&looks).iter().map(ToString::to_string).collect();
    if broken.is_empty() { Ok(()) } else { Err(format!("not flat: {}", broken.join("; ")).into()) }
}

/// Somebody ended before they were told to: the reason is what they say.
fn early(ended: Result<Result<(), Error>, tokio::task::JoinError>) -> Error {
    match ended {
        Ok(Ok(())) => "somebody left for no reason".into(),
        Ok(Err(error)) => error,
        Err(error) => error.into(),
    }
}

async fn finish(tasks: &mut JoinSet<Result<(), Error>>) -> Result<(), Error> {
    let all = async {
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        Ok(())
    };
    tokio::time::timeout(ENDING_WITHIN, all).await.map_err(|_| "somebody does not come to an end")?
}

fn look(stage: &Stage, server: &Process, life: u32, before: (f64, Instant, u64)) -> Result<Look, Error> {
    let (cpu, since, acknowledged) = before;
    let seconds = since.elapsed().as_secs_f64();
    let Seen { mut ack_ms, mut delivery_ms } = std::mem::take(&mut *stage.seen());
    Ok(Look {
        life,
        minute: stage.start.elapsed().as_secs_f64() / 60.0,
        rss_mib: server.kib("VmRSS")? / 1_024.0,
        handles: server.handles()? as f64,
        cpu_percent: (server.cpu_ms_fine()? - cpu) / 10.0 / seconds,
        acks_per_s: (stage.counts.acknowledged.load(Ordering::Relaxed) - acknowledged) as f64 / seconds,
        ack_p50_ms: percentile(&mut ack_ms, 0.5),
        ack_p99_ms: percentile(&mut ack_ms, 0.99),
        delivery_p50_ms: percentile(&mut delivery_ms, 0.5),
        delivery_p99_ms: percentile(&mut delivery_ms, 0.99),
    })
}

const HEAD: &str = "| life | minute | resident, MiB | handles | CPU, % of a core | acknowledged/s | ack p50, ms | p99 | delivery p50, ms | p99 |\n\
    |--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|";

impl Look {
    fn row(&self) -> String {
        format!(
            "| {} | {:.1} | {:.1} | {} | {:.1} | {:.0} | {:.2} | {:.2} | {:.2} | {:.2} |",
            self.life,
            self.minute,
            self.rss_mib,
            self.handles,
            self.cpu_percent,
            self.acks_per_s,
            self.ack_p50_ms,
            self.ack_p99_ms,
            self.delivery_p50_ms,
            self.delivery_p99_ms
        )
    }
}

/// Prints what was done, and how far the ends of the lives lie apart.
fn tell(stage: &Stage, looks: &[Look]) {
    let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let counts = &stage.counts;
    println!(
        "\n{} changes acknowledged and all there, {} deliveries, {} presences, {} reconnects, {} documents, {} kills",
        of(&counts.acknowledged),
        of(&counts.delivered),
        of(&counts.presence),
        of(&counts.reconnects),
        of(&counts.documents),
        LIVES - 1
    );
    let ends: Vec<_> = looks.chunks(WINDOWS as usize).filter_map(|life| life.last()).collect();
    for (what, pick) in [
        ("resident", (|look| look.rss_mib) as fn(&Look) -> f64),
        ("handles", |look| look.handles),
        ("ack p50", |look| look.ack_p50_ms),
        ("delivery p50", |look| look.delivery_p50_ms),
    ] {
        let values: Vec<_> = ends.iter().map(|look| pick(look)).collect();
        let (least, most) = values.iter().fold((f64::MAX, 0.0_f64), |(a, b), v| (a.min(*v), b.max(*v)));
        println!("at the ends of the lives, {what}: {least:.2} to {most:.2}, ratio {:.2}", most / least);
    }
}
