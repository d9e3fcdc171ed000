//! A throw-away PostgreSQL server, started from the installed binaries on a private socket.
//!
//! A small shell script stands between this process and the server. It takes commands on its standard
//! input, and when that ends, for whatever reason, it stops the server and removes every trace. So nothing
//! stays behind, even if the tests are killed.

use super::store::SECRET_KEY;
use db::{Address, Database, Missing, Sql};
use inboxd::{
    clock::Clock,
    ops::{self, SecretKey},
};
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::{
        fs::{MetadataExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::OnceCell;

/// `$1` is the server's folder, `$2` the folder of the binaries, `$3` the size of a disk in memory that it is on, or
/// nothing; the rest says how to become who may run it.
const KEEPER: &str = r#"
trap '' INT TERM HUP
dir=$1; bin=$2; size=$3; shift 3
clean() { [ -z "$size" ] || umount -l "$dir"; rm -rf "$dir"; }
fail() { cat "$dir/"*.log >&2; clean; exit 1; }
control() { "$@" >>"$dir/control.log" 2>&1 </dev/null; }
start() {
    control "$@" "$bin/pg_ctl" -s -w -D "$dir/data" -l "$dir/server.log" -o "-k '$dir' -c listen_addresses='' \
        -c max_connections=500 -c fsync=off -c synchronous_commit=off -c full_page_writes=off" start || fail
    echo started
}
stop() { control "$@" "$bin/pg_ctl" -s -w -D "$dir/data" -m fast stop; echo stopped; }
if [ "$size" ]; then
    owner=$(stat -c %u:%g "$dir")
    mount -t tmpfs -o "size=$size,mode=0700" tmpfs "$dir" && chown "$owner" "$dir" || { size=; fail; }
fi
control "$@" "$bin/initdb" -D "$dir/data" -U inboxd -A trust -E UTF8 --locale=C --no-sync || fail
start "$@"
while read -r command; do
    case $command in
        stop) stop "$@" ;;
        start) start "$@" ;;
    esac
done
control "$@" "$bin/pg_ctl" -s -w -D "$dir/data" -m immediate stop
clean
"#;

/// One server.
pub(crate) struct Postgres {
    folder: PathBuf,
    keeper: Mutex<Keeper>,
}

struct Keeper {
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    child: Child,
}

impl Postgres {
    /// Starts a new one. Takes a second or two.
    ///
    /// # Panics
    /// If PostgreSQL is not installed, or does not start.
    pub(crate) fn start() -> Self {
        Self::on_disk_of("")
    }

    /// One whose data is on a disk in memory of this size, as `mount` understands it.
    ///
    /// # Panics
    /// If this process may not mount.
    pub(crate) fn on_disk_of(size: &str) -> Self {
        let binaries = binaries();
        let folder = tempfile::Builder::new()
            .prefix("inboxd-pg-")
            .tempdir()
            .expect("a folder for PostgreSQL")
            .keep();
        let mut command = Command::new("sh");
        command
            .args(["-c", KEEPER, "keeper"])
            .arg(&folder)
            .arg(&binaries)
            .arg(size);
        // PostgreSQL refuses to run as root.
        if fs::metadata("/proc/self").expect("/proc").uid() == 0 {
            let (user, uid, gid) = unprivileged();
            chown(&folder, Some(uid), Some(gid)).expect("root may give a folder away");
            command.args(["setpriv", "--reuid", &user, "--regid", &gid.to_string()]);
            command.args(["--clear-groups", "--"]);
        } else {
            command.arg("env");
        }
        let mut child = command
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C at the tests' terminal must not reach the server before its keeper has stopped it.
            .process_group(0)
            .spawn()
            .expect("sh");
        let mut keeper = Keeper {
            orders: child.stdin.take(),
            answers: BufReader::new(child.stdout.take().expect("a pipe")),
            child,
        };
        keeper.expect("started");
        Postgres {
            folder,
            keeper: Mutex::new(keeper),
        }
    }

    /// Stops the server: connections break, and new ones are refused.
    pub(crate) fn halt(&self) {
        self.order("stop", "stopped");
    }

    /// Starts it again.
    pub(crate) fn resume(&self) {
        self.order("start", "started");
    }

    /// Leaves no room on its disk, which must be one of its own.
    pub(crate) fn fill_disk(&self) {
        let mut file = fs::File::create(self.folder.join("filling")).expect("a file");
        let piece = vec![0; 64 * 1024];
        while file.write_all(&piece).is_ok() {}
    }

    /// Makes room again.
    pub(crate) fn clear_disk(&self) {
        fs::remove_file(self.folder.join("filling")).expect("it was filled");
    }

    fn order(&self, order: &str, answer: &str) {
        let mut keeper = self.keeper.lock().expect("no order failed before");
        let orders = keeper.orders.as_mut().expect("the keeper listens");
        writeln!(orders, "{order}").expect("the keeper listens");
        keeper.expect(answer);
    }

    /// Its socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.join(".s.PGSQL.5432")
    }

    /// The address of one of its databases.
    pub(crate) fn url(&self, name: &str) -> String {
        format!("postgres://inboxd@/{name}?host={}", self.folder.display())
    }

    /// Runs one statement as the server's owner.
    pub(crate) async fn run(&self, statement: &str) {
        let address = Address::Postgres(self.url("postgres"));
        let server = Database::open(&address, Missing::Fail)
            .await
            .expect("a good address");
        // The text of a statement is made once a test: leaking it is cheap.
        let sql = Sql::same(statement.to_owned().leak());
        let mut session = server.read().await.expect("the server answers");
        session.batch(&sql).await.expect(statement);
    }
}

impl Keeper {
    fn expect(&mut self, answer: &str) {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("the keeper talks");
        assert_eq!(
            line.trim(),
            answer,
            "PostgreSQL failed; see above for its log"
        );
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let keeper = self.keeper.get_mut().expect("no order failed before");
        drop(keeper.orders.take());
        keeper.child.wait().expect("the keeper ends");
    }
}

/// A database of its own for one test, on the server that all tests of this process share.
pub(crate) struct TestDatabase {
    name: String,
    url: String,
}

/// Databases whose tests are over. The next test removes them.
static LEFT_OVER: Mutex<Vec<String>> = Mutex::new(Vec::new());
static SERVER: OnceCell<Postgres> = OnceCell::const_new();
static TEMPLATE: OnceCell<()> = OnceCell::const_new();

async fn server() -> &'static Postgres {
    SERVER.get_or_init(async || Postgres::start()).await
}

impl TestDatabase {
    /// An empty one, without a schema.
    pub(crate) async fn empty() -> Self {
        Self::like("template1").await
    }

    /// One with the schema.
    pub(crate) async fn migrated() -> Self {
        TEMPLATE.get_or_init(make_template).await;
        Self::like("inboxd_template").await
    }

    async fn like(template: &str) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let server = server().await;
        let left_over = std::mem::take(&mut *LEFT_OVER.lock().expect("no panic inside"));
        for name in left_over {
            server
                .run(&format!("DROP DATABASE {name} WITH (FORCE)"))
                .await;
        }
        let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        server
            .run(&format!("CREATE DATABASE {name} TEMPLATE {template}"))
            .await;
        let url = server.url(&name);
        TestDatabase { name, url }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if let Ok(mut left_over) = LEFT_OVER.lock() {
            left_over.push(self.name.clone());
        }
    }
}

/// Copying a database with the schema is faster than making the schema anew for each test.
async fn make_template() {
    let server = server().await;
    server.run("CREATE DATABASE inboxd_template").await;
    let address = Address::Postgres(server.url("inboxd_template"));
    let key = SecretKey::Text(SECRET_KEY.to_owned());
    let context = ops::open(&address, Missing::Create, &key, "", Clock::system())
        .await
        .expect("the schema can be made");
    context.db.close().await;
    server
        .run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'inboxd_template'")
        .await;
    server
        .run("ALTER DATABASE inboxd_template ALLOW_CONNECTIONS false")
        .await;
}

/// Where PostgreSQL's programs are: in the path, or where Debian puts them, the newest version first.
fn binaries() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let mut versions: Vec<u32> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    versions.sort_unstable();
    let of_debian = |version: &u32| Path::new("/usr/lib/postgresql").join(format!("{version}/bin"));
    folders.extend(versions.iter().rev().map(of_debian));
    // A link in the path leads to where the other programs are.
    folders
        .into_iter()
        .filter_map(|folder| {
            Some(
                fs::canonicalize(folder.join("initdb"))
                    .ok()?
                    .parent()?
                    .to_owned(),
            )
        })
        .find(|folder| folder.join("pg_ctl").exists())
        .expect("PostgreSQL is needed for the feature postgres-tests: apt-get install postgresql")
}

/// Who runs the server instead of root: name, user id and group id.
fn unprivileged() -> (String, u32, u32) {
    let users = fs::read_to_string("/etc/passwd").expect("a list of users");
    let find = |name: &str| {
        let line = users
            .lines()
            .find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        let (uid, gid) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        Some((name.to_owned(), uid, gid))
    };
    find("postgres")
        .or_else(|| find("nobody"))
        .expect("root cannot run PostgreSQL, and there is no user postgres or nobody")
}
