//! Everything a bug report needs, in one file. Owns the archive: its parts are made at once and apart, so that one that fails
//! or hangs only is missing; then secrets are taken out of each. `parts` says what is in it, `machine` what it runs on.

mod machine;
mod parts;

use std::time::{Duration, SystemTime};

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use futures_util::future::{BoxFuture, join_all};
use tokio::{sync::Semaphore, task::JoinSet};

use super::{super::errors::ApiResult, responses::AnyRoute};
use crate::{
    error::{Error, Result},
    logging::{Secrets, time},
    session::Handle,
    work,
};

/// How long a part may take.
const PART: Duration = Duration::from_secs(3);
/// Most bytes of a file; what is longer is cut off.
const FILE_BYTES: usize = 2 * 1024 * 1024;
/// Most bytes of all files; what comes when it is full is left out.
const ALL_BYTES: usize = 24 * 1024 * 1024;
/// Bundles made at a time: each is in memory as a whole. Others wait.
static AT_A_TIME: Semaphore = Semaphore::const_new(1);

/// A file of the bundle.
#[derive(Debug)]
struct File {
    /// Path in the archive.
    name: String,
    text: String,
}

impl File {
    fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into(), text: text.into() }
    }
}

/// What a part comes to: its files, or why it is missing.
type Made = std::result::Result<Vec<File>, String>;

/// A part in the making.
struct Part {
    /// The file, or folder, that it makes.
    name: String,
    made: BoxFuture<'static, Made>,
}

/// Everything for a bug report
///
/// A tar archive: versions, configuration without secrets, devices, sessions, pipelines, graphs, the log's last lines, and the
/// state of the process. It holds addresses of viewers and ids of sessions, so look through it before you publish it.
#[utoipa::path(get, path = "/debug/bundle", tag = "debug", operation_id = "get_bundle",
    responses((status = 200, description = "The archive.", body = Vec<u8>, content_type = "application/x-tar"),
        AnyRoute))]
pub(in super::super) async fn bundle(State(handle): State<Handle>) -> ApiResult<Response> {
    let _place = AT_A_TIME.acquire().await.map_err(|error| Error::internal(error.to_string()))?;
    let files = join_all(parts::parts(&handle).into_iter().map(finish)).await;
    let name = format!("realsense-webrtc-bundle-{}", time::compact(SystemTime::now()));
    let secrets = Secrets::of(handle.config());
    let folder = name.clone();
    let tar = work::CPU.run(move || pack(&folder, files.into_iter().flatten(), &secrets)).await??;
    let disposition = format!("attachment; filename=\"{name}.tar\"");
    let headers = [
        (header::CONTENT_TYPE, "application/x-tar".to_owned()),
        (header::CONTENT_DISPOSITION, disposition),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    Ok((headers, tar).into_response())
}

/// Waits for a part, not too long; one that is missing becomes a file that says why.
async fn finish(part: Part) -> Vec<File> {
    let missing = |why: &str| vec![File::new(format!("{}.missing.txt", part.name), format!("{why}\n"))];
    // In a task of its own, so that one that panics takes nothing along.
    // It ends with this set: when it took too long, and when the client that asked went away.
    let mut tasks = JoinSet::new();
    tasks.spawn(part.made);
    match tokio::time::timeout(PART, tasks.join_next()).await {
        Ok(Some(Ok(Ok(files)))) => files,
        Ok(Some(Ok(Err(why)))) => missing(&why),
        Ok(Some(Err(error))) => missing(&format!("It failed because of a bug: {error}.")),
        Ok(None) => missing("It was not made."),
        Err(_) => missing(&format!("It took longer than {} s.", PART.as_secs())),
    }
}

/// Makes the archive, with everything in one folder.
fn pack(folder: &str, files: impl Iterator<Item = File>, secrets: &Secrets) -> Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let (mut total, mut left_out) = (0, Vec::new());
    let mut append = |name: &str, text: &str| {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(now);
        let path = format!("{folder}/{name}");
        tar.append_data(&mut header, path, text.as_bytes())
            .map_err(|error| Error::internal(format!("the bundle's {name}: {error}")))
    };
    for File { name, text } in files {
        let name = secrets.scrub(&plain(&name));
        let mut text = secrets.scrub(&text);
        if text.len() > FILE_BYTES {
            text.truncate(text.floor_char_boundary(FILE_BYTES));
            text.push_str("\n… cut off: the file is too long for the bundle\n");
        }
        if total + text.len() > ALL_BYTES {
            left_out.push(name);
            continue;
        }
        total += text.len();
        append(&name, &text)?;
    }
    if !left_out.is_empty() {
        append("LEFT-OUT.txt", &format!("The bundle was full. These are not in it:\n{}\n", left_out.join("\n")))?;
    }
    tar.into_inner().map_err(|error| Error::internal(format!("the bundle: {error}")))
}

/// A name that is a path below the folder everywhere, whatever devices and files are called.
fn plain(name: &str) -> String {
    let kept = |c: char| if c.is_ascii_alphanumeric() || "._-/".contains(c) { c } else { '_' };
    let parts = name.split('/').map(|part| part.trim_start_matches('.').chars().map(kept).collect::<String>());
    parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::config::Config;

    fn unpack(tar: &[u8]) -> Vec<(String, String)> {
        let mut archive = tar::Archive::new(tar);
        let entries = archive.entries().expect("an archive");
        entries
            .map(|entry| {
                let mut entry = entry.expect("an entry");
                let mut text = String::new();
                entry.read_to_string(&mut text).expect("text");
                (entry.path().expect("a path").display().to_string(), text)
            })
            .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_that_fails_panics_or_hangs_is_a_file_that_says_so() {
        let part = |name: &str, made: BoxFuture<'static, Made>| Part { name: name.into(), made };
        let parts = [
            part("good.txt", Box::pin(async { Ok(vec![File::new("good.txt", "fine")]) })),
            part("bad.json", Box::pin(async { Err("No such thing.".to_owned()) })),
            part("broken.json", Box::pin(async { panic!("a bug") })),
            part("slow.json", Box::pin(std::future::pending())),
        ];
        let files: Vec<File> = join_all(parts.map(finish)).await.into_iter().flatten().collect();
        let told: Vec<_> = files.iter().map(|file| (file.name.as_str(), file.text.trim())).collect();
        assert_eq!(told[0], ("good.txt", "fine"));
        assert_eq!(told[1], ("bad.json.missing.txt", "No such thing."));
        assert!(told[2].0 == "broken.json.missing.txt" && told[2].1.contains("bug"), "{told:?}");
        assert_eq!(told[3], ("slow.json.missing.txt", "It took longer than 3 s."));
    }

    #[test]
    fn the_archive_is_bounded_and_its_paths_stay_below_its_folder() {
        let secrets = Secrets::of(&Config::default());
        let large = "x".repeat(FILE_BYTES + 1);
        let mut files = vec![File::new("../../etc/passwd", "a"), File::new("logs/a b\\c:.txt", "b")];
        files.push(File::new(format!("{}/x.txt", "long".repeat(60)), "c"));
        files.extend((0..20).map(|count| File::new(format!("{count}.txt"), large.clone())));
        let tar = pack("folder", files.into_iter(), &secrets).expect("an archive");
        assert!(tar.len() < ALL_BYTES + 1024 * 1024, "{}", tar.len());
        let files = unpack(&tar);
        assert_eq!(files[0].0, "folder/etc/passwd");
        assert_eq!(files[1].0, "folder/logs/a_b_c_.txt");
        assert_eq!(files[2].0, format!("folder/{}/x.txt", "long".repeat(60)));
        assert!(files[3].1.ends_with("too long for the bundle\n"));
        let (name, left_out) = files.last().expect("files");
        assert!(name == "folder/LEFT-OUT.txt" && left_out.contains("19.txt"), "{name}: {left_out}");
    }
}
