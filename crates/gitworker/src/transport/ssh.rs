//! How the system's `ssh` is called: never asking, host keys pinned, one warm connection per repository.

use std::path::Path;

use crate::options::Address;
use crate::{Credentials, GitError, RepositoryOptions};

/// How long an idle connection stays open for the next step.
const KEEP_SECONDS: u32 = 600;

/// Whether a call may leave a connection behind for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Master {
    /// It opens one when there is none.
    Auto,
    /// It only uses one that is there: who waits for the end of its outputs would wait for the connection's end.
    No,
}

/// The arguments before the host.
fn arguments(options: &RepositoryOptions, control: Option<&Path>, master: Master) -> Vec<String> {
    let mut args: Vec<String> = Vec::new();
    let mut set = |setting: String| args.extend(["-o".to_owned(), setting]);
    set("BatchMode=yes".to_owned());
    set("StrictHostKeyChecking=yes".to_owned());
    set("ForwardAgent=no".to_owned());
    set("ClearAllForwardings=yes".to_owned());
    set("PermitLocalCommand=no".to_owned());
    set(format!("ConnectTimeout={}", options.deadlines.connect.as_secs().max(1)));
    set("ServerAliveInterval=15".to_owned());
    set("ServerAliveCountMax=2".to_owned());
    set("SendEnv=GIT_PROTOCOL".to_owned());
    if let Some(control) = control {
        set(format!("ControlPath={}", control.display()));
        match master {
            Master::Auto => {
                set("ControlMaster=auto".to_owned());
                set(format!("ControlPersist={KEEP_SECONDS}"));
            }
            Master::No => set("ControlMaster=no".to_owned()),
        }
    }
    if let Credentials::Ssh {
        key_file,
        known_hosts_file,
    } = &options.credentials
    {
        set(format!("UserKnownHostsFile={}", quoted(known_hosts_file)));
        set("GlobalKnownHostsFile=/dev/null".to_owned());
        set("IdentitiesOnly=yes".to_owned());
        set("IdentityAgent=none".to_owned());
        set("PreferredAuthentications=publickey".to_owned());
        args.extend([
            "-F".to_owned(),
            "/dev/null".to_owned(),
            "-i".to_owned(),
            key_file.display().to_string(),
        ]);
    }
    args
}

/// ssh splits this option's value at blanks.
fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display())
}

/// The same as one line for `GIT_SSH_COMMAND`, which a shell reads.
pub(crate) fn shell_command(options: &RepositoryOptions, control: Option<&Path>) -> String {
    let mut line = "ssh".to_owned();
    for argument in arguments(options, control, Master::No) {
        line.push(' ');
        line.push_str(&shell_quote(&argument));
    }
    line
}

/// The whole command line for one git service on the remote.
pub(crate) fn service(options: &RepositoryOptions, control: Option<&Path>, service: &str) -> Result<Vec<String>, GitError> {
    let Address::Ssh { user, host, port, path } = &options.url.0 else {
        return Err(GitError::Internal("ssh was asked for another kind of address".to_owned()));
    };
    let mut args = arguments(options, control, Master::Auto);
    if let Some(port) = port {
        args.extend(["-p".to_owned(), port.to_string()]);
    }
    if let Some(user) = user {
        args.extend(["-l".to_owned(), user.clone()]);
    }
    args.extend(["--".to_owned(), host.clone(), format!("{service} {}", shell_quote(path))]);
    Ok(args)
}

/// Ends a warm connection.
pub(crate) fn hang_up(control: &Path) {
    let mut command = std::process::Command::new("ssh");
    command.args(["-o", &format!("ControlPath={}", control.display()), "-O", "exit", "--", "none"]);
    let null = std::process::Stdio::null;
    let _ = command.stdin(null()).stdout(null()).stderr(null()).status();
}

/// As git quotes for the remote's shell.
pub(crate) fn shell_quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn nothing_escapes_the_quotes() {
        assert_eq!(super::shell_quote("a b'; rm -rf '$x"), r"'a b'\''; rm -rf '\''$x'");
    }
}
