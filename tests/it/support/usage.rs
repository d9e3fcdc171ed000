//! What a server takes of the machine, as the system counts it.

use super::Running;
use std::{fs, time::Duration};

impl Running {
    /// The CPU time of all its threads so far. The system tells hundredths of a second.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = self.told("stat");
        // The name of the program may hold anything; what follows it has no parentheses.
        let (_, rest) = stat.rsplit_once(')').expect("a name");
        let ticks = rest.split_whitespace().skip(11).take(2);
        let ticks: u64 = ticks
            .map(|text| text.parse::<u64>().expect("a number"))
            .sum();
        Duration::from_millis(10 * ticks)
    }

    /// Bytes of memory that it has.
    pub(crate) fn resident(&self) -> usize {
        self.kilobytes("VmRSS:")
    }

    /// The most bytes of memory that it had since [`Running::forget_peak`].
    pub(crate) fn peak(&self) -> usize {
        self.kilobytes("VmHWM:")
    }

    pub(crate) fn forget_peak(&self) {
        let path = format!("/proc/{}/clear_refs", self.process());
        fs::write(path, "5").expect("a child of ours");
    }

    fn kilobytes(&self, name: &str) -> usize {
        let status = self.told("status");
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let number = number.expect("a line").trim().parse::<usize>();
        1024 * number.expect("a number")
    }

    fn told(&self, name: &str) -> String {
        let told = fs::read_to_string(format!("/proc/{}/{name}", self.process()));
        told.expect("the system tells")
    }
}
