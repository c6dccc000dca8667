//! Runs the real program for a test: its own port, its own configuration, its log kept for when the test fails.

#![allow(dead_code, reason = "every test binary uses another part of it")]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Condvar, Mutex},
    time::{Duration, Instant},
};

use realsense_webrtc::probe::{client::Client, receiver::Options, viewer::Viewer};

/// The simulated camera's serial number.
pub(crate) const DEVICE: &str = "844212070924";

/// Longest a step may take on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// How long the program may take to listen: the first `webrtcbin` of a process alone takes up to a second.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Small pictures, for tests that are not about pictures.
pub(crate) const SMALL: &str = r#"
[streams.color]
width = 424
height = 240
framerate = 30
bitrate_kbps = 500
[streams.depth]
width = 424
height = 240
framerate = 30
bitrate_kbps = 500
[streams.infrared]
width = 424
height = 240
framerate = 30
bitrate_kbps = 500
"#;

/// The program, started. Dropped, it is killed; a failing test prints its log.
pub(crate) struct Program {
    child: Child,
    log: Arc<(Mutex<Vec<String>>, Condvar)>,
    _config: tempfile::NamedTempFile,
}

impl Program {
    /// Starts the program on a free port with this configuration and further arguments. Without a section `[realsense]` it
    /// has simulated cameras only, whatever is plugged into this machine.
    pub(crate) fn start(config: &str, args: &[&str]) -> Self {
        Self::launch(Command::new(env!("CARGO_BIN_EXE_realsense-webrtc")), config, args)
    }

    /// The same with these environment variables.
    pub(crate) fn start_with(variables: &[(&str, &str)], config: &str, args: &[&str]) -> Self {
        let mut program = Command::new(env!("CARGO_BIN_EXE_realsense-webrtc"));
        program.envs(variables.iter().copied());
        Self::launch(program, config, args)
    }

    /// The same with so many file descriptors at most.
    fn start_with_fds(config: &str, args: &[&str], fds: u32) -> Self {
        let mut limited = Command::new("prlimit");
        limited.args([&format!("--nofile={fds}"), env!("CARGO_BIN_EXE_realsense-webrtc")]);
        Self::launch(limited, config, args)
    }

    /// The same with so many threads at most. Root has no such limit, so there it runs as a user of its own, which keeps
    /// root's way into every folder, as the program may lie anywhere. Other users have what they run already beside it.
    fn start_with_threads(config: &str, args: &[&str], threads: u32) -> Self {
        let output = |command: &str, args: &[&str]| {
            let output = Command::new(command).args(args).output().expect(command);
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        };
        let user = output("id", &["-u"]);
        let mut limited = if user == "0" {
            let mut as_another = Command::new("setpriv");
            as_another.args(["--reuid=54321", "--regid=54321", "--clear-groups"]);
            as_another.args(["--inh-caps=+dac_override", "--ambient-caps=+dac_override", "prlimit"]);
            as_another.arg(format!("--nproc={threads}"));
            as_another
        } else {
            let others = u32::try_from(output("ps", &["-L", "-u", &user, "-o", "lwp="]).lines().count()).expect("few");
            let mut limited = Command::new("prlimit");
            limited.arg(format!("--nproc={}", others + threads));
            limited
        };
        limited.arg(env!("CARGO_BIN_EXE_realsense-webrtc"));
        Self::launch(limited, config, args)
    }

    fn launch(mut program: Command, config: &str, args: &[&str]) -> Self {
        // Without a word of the SDK it has one simulated camera only, whatever is plugged into this machine.
        let (section, simulated): (_, &[&str]) = match config.contains("[realsense]") {
            true => ("", &[]),
            false => ("\n[realsense]\nenabled = false\n", &["--sim-cameras", "1"]),
        };
        let config = format!("{config}{section}");
        let mut file = tempfile::Builder::new().suffix(".toml").tempfile().expect("a temporary file");
        file.write_all(config.as_bytes()).expect("a written configuration");
        let mut child = program
            .args(["--listen", "127.0.0.1:0", "--config"])
            .arg(file.path())
            .args(simulated)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let log = Arc::new((Mutex::new(Vec::new()), Condvar::new()));
        let out: Box<dyn Read + Send> = Box::new(child.stdout.take().expect("piped"));
        let err: Box<dyn Read + Send> = Box::new(child.stderr.take().expect("piped"));
        for pipe in [out, err] {
            let log = log.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                    log.0.lock().expect("log").push(line);
                    log.1.notify_all();
                }
            });
        }
        Self { child, log, _config: file }
    }

    /// Waits for a line with these words and gives it.
    pub(crate) fn says(&self, words: &str, limit: Duration) -> Option<String> {
        let found = |lines: &Vec<String>| lines.iter().find(|line| line.contains(words)).cloned();
        let lines = self.log.0.lock().expect("log");
        let waited = self.log.1.wait_timeout_while(lines, limit, |lines| found(lines).is_none());
        found(&waited.expect("log").0)
    }

    /// Everything it printed so far.
    pub(crate) fn log(&self) -> String {
        self.log.0.lock().expect("log").join("\n")
    }

    /// Sends SIGTERM and waits for the end.
    pub(crate) fn terminate(&mut self, limit: Duration) -> Option<(ExitStatus, Duration)> {
        let sent = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().expect("kill runs");
        assert!(sent.success());
        self.ends(limit)
    }

    /// Waits until it ends by itself.
    pub(crate) fn ends(&mut self, limit: Duration) -> Option<(ExitStatus, Duration)> {
        let started = Instant::now();
        while started.elapsed() < limit {
            if let Some(status) = self.child.try_wait().expect("our child") {
                return Some((status, started.elapsed()));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        None
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log.0.lock().map(|log| log[log.len().saturating_sub(60)..].join("\n")).unwrap_or_default();
            println!("--- the server's last words ---\n{log}");
        }
    }
}

/// A running server.
pub(crate) struct Server {
    pub(crate) program: Program,
    /// `http://127.0.0.1:PORT`.
    pub(crate) url: String,
    /// A client of it.
    pub(crate) client: Client,
}

impl Server {
    /// Head and body of a GET as they came, for what is no JSON.
    pub(crate) fn get(&self, path: &str, accept: &str) -> (String, Vec<u8>) {
        let (host, port) = (self.client.host(), self.client.port());
        let mut stream = TcpStream::connect((host, port)).expect("it listens");
        stream.set_read_timeout(Some(LIMIT)).expect("a limit");
        let head =
            format!("GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nAccept: {accept}\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).expect("asked");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer");
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
        (String::from_utf8_lossy(&answer[..end]).into_owned(), answer[end + 4..].to_vec())
    }

    /// Starts the program with this configuration, and further arguments, and waits until it listens.
    pub(crate) fn start(config: &str, args: &[&str]) -> Self {
        Self::listening(Program::start(config, args))
    }

    /// The same with so many file descriptors at most.
    pub(crate) fn start_with_fds(config: &str, args: &[&str], fds: u32) -> Self {
        Self::listening(Program::start_with_fds(config, args, fds))
    }

    /// The same with so many threads at most.
    pub(crate) fn start_with_threads(config: &str, args: &[&str], threads: u32) -> Self {
        Self::listening(Program::start_with_threads(config, args, threads))
    }

    pub(crate) fn listening(program: Program) -> Self {
        let line = program.says("listening on ", START_LIMIT).expect("the server listens");
        let (_, url) = line.split_once("listening on ").expect("it was looked for");
        let url: String = url.chars().take_while(|c| !c.is_whitespace() && *c != '\u{1b}').collect();
        let client = Client::new(&url, None).expect("the server's address");
        Self { program, url, client }
    }

    /// Joins a viewer.
    pub(crate) async fn join(&self, streams: &[&str], options: Options) -> Viewer {
        let streams: Vec<String> = streams.iter().map(|name| (*name).to_owned()).collect();
        Viewer::join(&self.client, DEVICE, &streams, options).await.expect("a session")
    }

    /// Runs `realsense-webrtc probe …` against the server.
    pub(crate) fn probe(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_realsense-webrtc"))
            .arg("probe")
            .args(args)
            .args(["--url", &self.url])
            .output()
            .expect("the probe runs")
    }

    /// Waits until the server lists exactly this many sessions.
    pub(crate) async fn wait_for_sessions(&self, count: usize, limit: Duration) -> Duration {
        let started = Instant::now();
        loop {
            let listed = self.client.sessions().await.expect("the list of sessions");
            if listed.len() == count {
                return started.elapsed();
            }
            assert!(started.elapsed() < limit, "{} sessions after {limit:?}, not {count}: {listed:?}", listed.len());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
