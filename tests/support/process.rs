//! One child process of a test: started with its log in a file, waited for, and surely ended.
//!
//! In: a command, and shell scripts that clean up behind it. Out: a guard with the process id and the log.
//!
//! The child runs under a small shell, the watcher, which holds a pipe from the test process. When the guard is
//! dropped, or the test process dies in any way (a panic, SIGKILL, Ctrl-C, a guard kept in a static), the pipe
//! closes, and the watcher ends the child by its process id and cleans up. So there is one way to end, and it
//! does not depend on Rust destructors.
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Runs the child ($3…), notes its process id on stdout, and ends it when stdin closes.
/// `$1` is the script to run before the child is ended, `$2` the one to run after the child is gone.
const WATCHER: &str = r#"
before=$1; after=$2; shift 2
exec 3<&0 4>&1 </dev/null >>"$LAB_LOG" 2>&1
"$@" 3<&- 4>&- &
child=$!
echo "$child" >&4
exec 4>&-
(
    read -r _ <&3
    eval "$before"
    kill -TERM "$child" 2>/dev/null
    kill -CONT "$child" 2>/dev/null
    tries=0
    while kill -0 "$child" 2>/dev/null && [ "$tries" -lt 150 ]; do sleep 0.1; tries=$((tries + 1)); done
    kill -KILL "$child" 2>/dev/null
) &
ender=$!
wait "$child"
status=$?
echo "$status" >"$LAB_LOG.status.new" && mv "$LAB_LOG.status.new" "$LAB_LOG.status"
# The log of a child that ended by itself must stay until the test has read it.
read -r _ <&3
kill -KILL "$ender" 2>/dev/null
exec 3<&-
eval "$after"
exit "$status"
"#;

/// What to run, and what to do before and after it ends (`sh` scripts; empty: nothing).
pub struct Spawn {
    name: String,
    command: Vec<OsString>,
    envs: Vec<(OsString, OsString)>,
    before_end: String,
    after_end: String,
}

impl Spawn {
    pub fn new(name: &str, program: impl AsRef<OsStr>) -> Self {
        Self {
            name: name.to_owned(),
            command: vec![program.as_ref().to_owned()],
            envs: Vec::new(),
            before_end: String::new(),
            after_end: String::new(),
        }
    }

    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.push(arg.as_ref().to_owned());
        self
    }

    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    pub fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.envs.push((key.into(), value.as_ref().to_owned()));
        self
    }

    pub fn before_end(mut self, script: impl Into<String>) -> Self {
        self.before_end = script.into();
        self
    }

    pub fn after_end(mut self, script: impl Into<String>) -> Self {
        self.after_end = script.into();
        self
    }

    /// Starts the command with `folder` as the place of its log (`<folder>/<name>.log`).
    pub fn start(self, folder: &Path) -> Running {
        let log = folder.join(format!("{}.log", self.name));
        let mut watcher = Command::new("/bin/sh")
            .args(["-c", WATCHER, "ringside-lab"])
            .args([&self.before_end, &self.after_end])
            .args(&self.command)
            .envs(self.envs)
            .env("LAB_LOG", &log)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            // Ctrl-C ends the test, and the closing pipe ends the child in order.
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start /bin/sh for {}: {error}", self.name));
        let lifeline = watcher.stdin.take();
        let mut line = String::new();
        BufReader::new(watcher.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let pid = line.trim().parse().unwrap_or_else(|_| panic!("{} did not start: {line:?}", self.name));
        Running { name: self.name, pid, log, watcher, lifeline }
    }
}

/// A child that runs; dropping it ends it and cleans up.
pub struct Running {
    name: String,
    pid: u32,
    log: PathBuf,
    watcher: Child,
    lifeline: Option<ChildStdin>,
}

impl Running {
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    pub fn log_tail(&self, lines: usize) -> String {
        let log = self.log();
        let lines_of_log: Vec<&str> = log.lines().collect();
        lines_of_log[lines_of_log.len().saturating_sub(lines)..].join("\n")
    }

    /// `None` while the child runs; then its exit code, or 128 + n if signal n ended it.
    pub fn exit_code(&self) -> Option<i32> {
        let status = fs::read_to_string(format!("{}.status", self.log.display())).ok()?;
        Some(status.trim().parse().unwrap_or_else(|_| panic!("not an exit status: {status:?}")))
    }

    /// Asks until `check` gives a value; a child that ends first, or a deadline that passes, fails the test.
    pub fn wait_until<T>(&self, what: &str, deadline: Duration, mut check: impl FnMut() -> Result<T, String>) -> T {
        let end = Instant::now() + deadline;
        loop {
            let reason = match check() {
                Ok(value) => return value,
                Err(reason) => reason,
            };
            if let Some(code) = self.exit_code() {
                self.fail(&format!("ended with code {code} before: {what}; last seen: {reason}"));
            }
            if Instant::now() >= end {
                self.fail(&format!("not within {deadline:?}: {what}; last seen: {reason}"));
            }
            sleep(Duration::from_millis(50));
        }
    }

    /// Sends a signal by process id (SIGSTOP, SIGHUP, SIGKILL …).
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.pid).unwrap()).unwrap();
        rustix::process::kill_process(pid, signal)
            .unwrap_or_else(|error| panic!("cannot send a signal to {} ({}): {error}", self.name, self.pid));
    }

    /// Waits for a child that was told to end (by a signal or by itself) and gives its [`exit_code`](Self::exit_code).
    pub fn wait(&self, deadline: Duration) -> i32 {
        wait_until(&format!("the end of {}", self.name), deadline, || {
            self.exit_code().ok_or_else(|| format!("process {} runs; its log ends:\n{}", self.pid, self.log_tail(20)))
        })
    }

    /// Ends the child now: SIGTERM, after 15 s SIGKILL, then its clean-up.
    pub fn stop(&mut self) -> i32 {
        drop(self.lifeline.take());
        self.watcher.wait().unwrap().code().expect("the watcher itself was killed")
    }

    pub fn fail(&self, why: &str) -> ! {
        panic!(
            "{} (process {}): {why}\n--- end of {} ---\n{}",
            self.name,
            self.pid,
            self.log.display(),
            self.log_tail(60)
        )
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- end of {} ---\n{}\n---", self.log.display(), self.log_tail(25));
        }
        drop(self.lifeline.take());
        let _ended = self.watcher.wait();
    }
}

/// A temporary folder with a short path (Unix sockets allow 107 bytes). Its owner removes it after its child has
/// ended, with [`remove_folder_script`].
pub fn lab_folder(name: &str) -> PathBuf {
    tempfile::Builder::new().prefix(&format!("rs-{name}-")).tempdir_in("/tmp").unwrap().keep()
}

/// Undoes every mount below the folder, then removes it. In this order: a mount that stays would lose its files.
pub fn remove_folder_script(folder: &Path) -> String {
    let folder = folder.to_str().expect("a lab folder has a plain name");
    format!(
        r#"
        awk -v d='{folder}/' 'index($5, d) == 1 {{ print $5 }}' /proc/self/mountinfo | sort -r | while read -r m; do umount -l "$m"; done
        rm -rf --one-file-system '{folder}'
        "#
    )
}

/// Ends what a daemon that was killed leaves behind: its containerd and the shims, known by the folder in their
/// arguments. The name is looked at too, since the watcher's own arguments hold this script.
pub fn end_containerd_script(folder: &Path) -> String {
    let folder = folder.to_str().expect("a lab folder has a plain name");
    format!(
        r#"
        for p in /proc/[0-9]*; do
            case "$(cat "$p/comm" 2>/dev/null)" in containerd*) ;; *) continue ;; esac
            tr '\0' ' ' <"$p/cmdline" 2>/dev/null | grep -q -F ' {folder}/' && kill -KILL "${{p#/proc/}}"
        done
        "#
    )
}

/// A TCP port of 127.0.0.1 that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Runs a command to its end; a failure fails the test with all it printed.
pub fn run(program: &str, args: &[&str]) -> String {
    let output = try_run(program, args);
    assert!(
        output.status.success(),
        "{program} {} failed ({}):\n{}{}",
        args.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    String::from_utf8(output.stdout).unwrap()
}

pub fn try_run(program: &str, args: &[&str]) -> Output {
    Command::new(program)
        .args(args)
        .env("PATH", path_with_sbin())
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("cannot run {program}: {error}; tests/lab/setup.sh installs what the lab needs"))
}

/// `PATH` with the folders of system programs, which not every user has.
pub fn path_with_sbin() -> String {
    let mut path = std::env::var("PATH").unwrap_or_default();
    write!(path, ":/usr/local/sbin:/usr/sbin:/sbin").unwrap();
    path
}

/// The daemons need root: cgroups, namespaces, mounts. Said at once and clearly, not by a daemon's hundredth line.
pub fn require_root(what: &str) {
    assert!(rustix::process::geteuid().is_root(), "{what} needs root; run the tests as root");
}

/// A test that waits for something other than a child: the same loop, without one.
pub fn wait_until<T>(what: &str, deadline: Duration, mut check: impl FnMut() -> Result<T, String>) -> T {
    let end = Instant::now() + deadline;
    loop {
        match check() {
            Ok(value) => return value,
            Err(reason) => assert!(Instant::now() < end, "not within {deadline:?}: {what}; last seen: {reason}"),
        }
        sleep(Duration::from_millis(50));
    }
}
