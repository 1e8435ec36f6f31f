//! What the kernel says of a process's memory.

/// Resident memory of a process, in KiB.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Now.
    pub resident_kib: u64,
    /// At its highest since the process began or [`Memory::reset_peak`].
    pub peak_kib: u64,
}

impl Memory {
    /// Of a process that runs.
    pub fn of(process: u32) -> std::io::Result<Self> {
        let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
        let line = |name: &str| {
            let line = status.lines().find_map(|l| l.strip_prefix(name));
            let number = line.and_then(|l| l.split_whitespace().next()?.parse().ok());
            number.ok_or_else(|| std::io::Error::other(format!("the kernel says no {name}")))
        };
        Ok(Self { resident_kib: line("VmRSS:")?, peak_kib: line("VmHWM:")? })
    }

    /// Lets the peak be measured from now on.
    pub fn reset_peak(process: u32) -> std::io::Result<()> {
        std::fs::write(format!("/proc/{process}/clear_refs"), "5")
    }
}
