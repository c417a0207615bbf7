//! A small world of simulators and a configuration for it, and ways to run the built program in it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use simulators::argocd::{ArgocdOptions, ArgocdSim};
use simulators::git::{BareRepo, GitOptions, GitRemote};
use simulators::telegram::{Chat, ChatKind, TelegramOptions, TelegramSim};

/// Long, because the machine may be slow.
pub const PATIENCE: Duration = Duration::from_secs(90);
/// The chat of the world.
pub const CHAT: i64 = -1_001_000_000_001;
/// Secrets, each recognisable wherever it should not be.
pub const BOT_TOKEN: &str = "7000000001:canary-telegram";
pub const GIT_PASSWORD: &str = "canary-git-password";

/// Servers, a folder, and a configuration.
pub struct World {
    pub folder: tempfile::TempDir,
    pub telegram: TelegramSim,
    pub argocd: ArgocdSim,
    pub git: GitRemote,
    pub repo: BareRepo,
}

impl World {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let telegram = TelegramSim::start(TelegramOptions {
            token: BOT_TOKEN.to_owned(),
            ..TelegramOptions::default()
        })
        .await
        .unwrap();
        telegram.add_chat(Chat {
            id: CHAT,
            kind: ChatKind::Supergroup,
            title: "Operations".to_owned(),
            topics: Vec::new(),
        });
        let argocd = ArgocdSim::start(ArgocdOptions::default()).await.unwrap();
        let credentials = Some(("bot".to_owned(), GIT_PASSWORD.to_owned()));
        let git = GitRemote::start(GitOptions {
            root: folder.path().join("remote"),
            bind: ([127, 0, 0, 1], 0).into(),
            credentials,
        })
        .await
        .unwrap();
        let repo = git.create("homelab").unwrap();
        repo.seed(&[("README.md", "hello\n", false)]).unwrap();
        let world = Self {
            folder,
            telegram,
            argocd,
            git,
            repo,
        };
        world.write("telegram-token", BOT_TOKEN);
        world.write("git-password", GIT_PASSWORD);
        world.write("argocd-token", world.argocd.token());
        world.write("policy.toml", include_str!("../../../../config/policy.toml"));
        for (name, text) in [
            ("runbooks/scale.toml", include_str!("../../../../config/runbooks/scale.toml")),
            ("runbooks/restart.toml", include_str!("../../../../config/runbooks/restart.toml")),
        ] {
            world.write(name, text);
        }
        let config = format!(
            r#"
[server]
bind = "127.0.0.1:0"
metrics_bind = "127.0.0.1:0"
[policy]
runbooks = "runbooks"
[telegram]
token_file = "telegram-token"
api_url = "{}"
[[repositories]]
name = "homelab"
url = "{}"
branch = "main"
approvals = [{{ chat = {CHAT} }}]
argocd = "main"
credentials = {{ username = "bot", password_file = "git-password" }}
[[argocd]]
name = "main"
url = "{}"
token_file = "argocd-token"
[limits]
hasty_tap_milliseconds = 0
steady_tap_milliseconds = 0
secrets_seconds = 1
start_seconds = 2
"#,
            world.telegram.url(),
            world.git.url("homelab"),
            world.argocd.url(),
        );
        world.write("config.toml", &config);
        world
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Changes the configuration: the first line that begins with `start` becomes `line`.
    pub fn configure(&self, start: &str, line: &str) {
        let config = std::fs::read_to_string(self.config()).unwrap();
        let old = config.lines().find(|old| old.starts_with(start)).expect("such a line");
        self.write("config.toml", &config.replacen(old, line, 1));
    }

    pub fn config(&self) -> PathBuf {
        self.path("config.toml")
    }

    /// Runs the program with `--config` of this world at the end.
    pub async fn run(&self, arguments: &[&str]) -> Said {
        let config = self.config().display().to_string();
        let arguments: Vec<String> = arguments
            .iter()
            .map(ToString::to_string)
            .chain(["--config".to_owned(), config])
            .collect();
        let folder = self.folder.path().to_owned();
        tokio::task::spawn_blocking(move || {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            run(&folder, &arguments)
        })
        .await
        .unwrap()
    }
}

/// What a run of the program said.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// A command of the built program with nothing of the test's environment that it would listen to.
pub fn program(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    command
        .current_dir(folder)
        .env_remove("COUNTERSIGN_CONFIG")
        .env_remove("NOTIFY_SOCKET");
    command
}

/// Runs the program to its end.
pub fn run(folder: &Path, arguments: &[&str]) -> Said {
    let Output { status, stdout, stderr } = program(folder).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said {
        code: status.code(),
        out: text(stdout),
        err: text(stderr),
    }
}

/// Looks again and again until something is there.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begin.elapsed() < PATIENCE, "{what} did not come about");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
