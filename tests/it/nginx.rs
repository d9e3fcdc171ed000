//! docs/nginx.conf, as it is documented, by the real nginx in front of two real nodes.

use crate::support::{
    Call, Running, Shell, Store, client, eventually,
    live::{Socket, Stream},
    program::text,
    whatsapp::{self, update},
};
use reqwest::{Client, Method};
use serde_json::json;
use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};
use tempfile::TempDir;

/// A running nginx. It is stopped when this is dropped.
struct Nginx {
    child: Child,
    address: SocketAddr,
    client: Client,
    folder: TempDir,
}

impl Nginx {
    /// With the documented configuration, in front of two nodes at these addresses.
    ///
    /// # Panics
    /// If nginx is not installed, or does not start.
    async fn start(nodes: [SocketAddr; 2]) -> Self {
        let folder = tempfile::tempdir().expect("a folder for nginx");
        let address = free_address();
        let documented = fs::read_to_string("docs/nginx.conf").expect("it is there");
        let mut configuration = documented;
        // nginx gives up root's rights, and must still get at its files.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
        let at = |name: &str| folder.path().join(name).display().to_string();
        for (written, here) in [
            ("server 10.0.0.1:8080 ", format!("server {} ", nodes[0])),
            ("server 10.0.0.2:8080 ", format!("server {} ", nodes[1])),
            ("listen 80;", format!("listen {address};")),
            ("/run/nginx.pid", at("nginx.pid")),
            ("/var/log/nginx/inboxd.log", at("access.log")),
            ("/var/log/nginx/inboxd-error.log", at("requests.log")),
            ("http {", scratch(folder.path())),
        ] {
            assert_eq!(configuration.matches(written).count(), 1, "{written}");
            configuration = configuration.replace(written, &here);
        }
        let file = folder.path().join("nginx.conf");
        fs::write(&file, configuration).expect("a file");
        let globals = format!("daemon off; error_log {} warn;", at("error.log"));
        let child = Command::new(program())
            .arg("-c")
            .arg(&file)
            .args(["-p", &at(""), "-g", &globals])
            .stdin(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("nginx starts");
        let nginx = Nginx {
            child,
            address,
            client: client(),
            folder,
        };
        eventually("nginx listens", async || {
            TcpStream::connect(address).is_ok()
        })
        .await;
        nginx
    }

    fn call(&self, method: Method, path: &str) -> Call {
        Call::new(&self.client, self.address, method, path)
    }

    fn errors(&self) -> String {
        self.log("error.log")
    }

    fn log(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Told to stop, it takes its workers along; killed, it would leave them.
        let process = self.child.id().to_string();
        Command::new("sh")
            .args(["-c", "kill -s TERM \"$0\"", &process])
            .status()
            .ok();
        self.child.wait().ok();
    }
}

fn program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<_> = std::env::split_paths(&path).collect();
    folders.push("/usr/sbin".into());
    let found = folders.into_iter().map(|folder| folder.join("nginx"));
    found
        .into_iter()
        .find(|program| program.exists())
        .expect("nginx is needed for the feature postgres-tests: apt-get install nginx-light")
}

/// The start of the configuration's main block, with what nginx was compiled to keep where only root may write.
fn scratch(folder: &Path) -> String {
    let mut block = "http {".to_owned();
    for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        block += &format!("\n    {kind}_temp_path {}/{kind};", folder.display());
    }
    block
}

/// An address that nobody has now.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address")
}

/// Starts a node at this address.
fn node(shell: &Shell, address: SocketAddr, name: &str) -> Running {
    let command = shell.command(&["serve", "--listen", &address.to_string()]);
    shell.start_with_log(command, &shell.folder().join(name))
}

struct Site {
    shell: Shell,
    key: String,
    nodes: [SocketAddr; 2],
}

impl Site {
    async fn prepare() -> Self {
        let shell = Shell::ready(Store::Postgres).await;
        shell.account("Toko Biru");
        shell.whatsapp("42");
        Site {
            key: shell.key(),
            nodes: [free_address(), free_address()],
            shell,
        }
    }

    fn start(&self, number: usize) -> Running {
        node(&self.shell, self.nodes[number], &format!("{number}.log"))
    }
}

fn deliver(nginx: &Nginx, id: &str) -> Call {
    let message = whatsapp::text("628111", id, "Hello");
    let body = update("42", &[message]).to_string();
    let signature = whatsapp::sign(whatsapp::APP_SECRET, body.as_bytes());
    nginx
        .call(Method::POST, "/hooks/whatsapp")
        .header("x-hub-signature-256", &signature)
        .raw_json(body)
}

#[tokio::test]
async fn all_that_inboxd_does_comes_through_nginx() {
    let site = Site::prepare().await;
    let running = [site.start(0), site.start(1)];
    let nginx = Nginx::start(site.nodes).await;
    // A header with an underscore, which nginx drops unless it is told not to.
    let list = async || {
        let call = nginx
            .call(Method::GET, "/inboxes")
            .header("api_key", &site.key);
        call.send().await
    };
    list().await.assert_status(200);

    let mut events = Stream::open(nginx.address, &site.key, None).await;
    deliver(&nginx, "wamid.1").send().await.assert_status(200);
    for expected in ["inbox.changed", "message.created"] {
        assert_eq!(events.next().await.expect("an event").0, expected);
    }
    let create = json!({"name": "Website", "type": "livechat"});
    let made = nginx
        .call(Method::POST, "/inboxes")
        .key(&site.key)
        .json(&create);
    let chat = text(&made.send().await.data()["id"]);
    let sessions = format!("/livechat/{chat}/sessions");
    let visitor = nginx
        .call(Method::POST, &sessions)
        .json(&json!({}))
        .send()
        .await;
    let token = text(&visitor.data()["token"]);
    // Several, so that both nodes have some.
    let mut sockets = Vec::new();
    for _ in 0..4 {
        sockets.push(Socket::hello(nginx.address, &chat, &token, None).await);
    }
    let say = json!({"type": "message", "client_id": "c1", "text": "Hello"});
    sockets[0].send(&say).await;
    for socket in &mut sockets {
        let message = socket.next_of("message").await;
        assert_eq!(message["message"]["content"]["text"], "Hello");
    }

    // Whatever is too large, wrong or not there gets the node's own answer.
    let large = "x".repeat(3 * 1024 * 1024);
    let refused = nginx.call(Method::POST, "/hooks/whatsapp").raw_json(large);
    refused.send().await.assert_status(401);
    let long = format!("/inboxes?{}", "x".repeat(20 * 1024));
    let call = nginx.call(Method::GET, &long).key(&site.key);
    call.send().await.assert_status(200);
    nginx
        .call(Method::GET, "/nowhere")
        .send()
        .await
        .assert_status(404);
    for node in running {
        let asked = node.get("/metrics").send().await;
        assert!(
            asked.text().contains("inboxd_http_requests_total"),
            "both are asked"
        );
        node.stop().await;
    }
    assert!(!nginx.errors().contains("[emerg]"));
}

/// Keys in URLs stay out of nginx's logs, also when no node is there to answer.
#[tokio::test]
async fn nginx_logs_no_key_while_the_nodes_are_down() {
    let unused = [free_address(), free_address()];
    let nginx = Nginx::start(unused).await;
    let key = "ibx_in_the_url";
    let asked = nginx.call(Method::GET, &format!("/inboxes?api_key={key}"));
    asked.send_unchecked().await.assert_status(502);
    eventually("the request is logged", async || {
        nginx.log("access.log").contains("/inboxes")
    })
    .await;
    let access = nginx.log("access.log");
    let failed = format!("{}, {} 502, 502", unused[0], unused[1]);
    let other_first = format!("{}, {} 502, 502", unused[1], unused[0]);
    assert!(
        access.contains(&failed) || access.contains(&other_first),
        "which nodes failed: {access}"
    );
    for name in ["access.log", "error.log", "requests.log"] {
        assert!(!nginx.log(name).contains(key), "{name}");
    }
}

/// Every request of every kind is answered with a success, while each node in turn is stopped and started again.
#[tokio::test]
async fn a_rolling_restart_under_load_answers_every_request() {
    let site = Arc::new(Site::prepare().await);
    let mut running = [site.start(0), site.start(1)];
    let nginx = Arc::new(Nginx::start(site.nodes).await);
    let (stop, answered) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let kinds = ["list", "deliver", "create", "list", "deliver", "change"];
    let inbox = text(&site.shell.json(&["inbox", "list"])[0]["id"]);
    let clients: Vec<_> = kinds
        .into_iter()
        .enumerate()
        .map(|(number, kind)| {
            let (nginx, site, inbox) = (nginx.clone(), site.clone(), inbox.clone());
            let (stop, answered) = (stop.clone(), answered.clone());
            tokio::spawn(async move {
                let mut asked: u64 = 0;
                while !stop.load(Ordering::Acquire) {
                    let call = match kind {
                        "list" => nginx.call(Method::GET, "/inboxes").key(&site.key),
                        "deliver" => deliver(&nginx, &format!("wamid.{number}.{asked}")),
                        "create" => nginx
                            .call(Method::POST, "/inboxes")
                            .key(&site.key)
                            .json(&json!({"name": format!("{asked}"), "type": "livechat"})),
                        _ => nginx
                            .call(Method::PATCH, &format!("/inboxes/{inbox}"))
                            .key(&site.key)
                            .json(&json!({"name": format!("Support {asked}")})),
                    };
                    let answer = call.send_unchecked().await;
                    assert!(
                        answer.status.is_success(),
                        "{kind} {asked}: {answer:?} {}",
                        nginx.errors()
                    );
                    asked += 1;
                    answered.fetch_add(1, Ordering::AcqRel);
                }
                (kind, asked)
            })
        })
        .collect();
    let more = async |count: u64| {
        let goal = answered.load(Ordering::Acquire) + count;
        eventually("requests are answered", async || {
            clients.iter().any(|client| client.is_finished())
                || answered.load(Ordering::Acquire) >= goal
        })
        .await;
    };
    for round in 0..4 {
        let number = round % 2;
        more(60).await;
        running[number].signal("TERM");
        let (status, _) = running[number].ended().await;
        assert_eq!(status.code(), Some(0), "{}", running[number].log());
        more(30).await;
        running[number] = site.start(number);
    }
    more(60).await;
    stop.store(true, Ordering::Release);
    let (mut delivered, mut created) = (0, 0);
    for client in clients {
        match client.await.expect("every request is answered") {
            ("deliver", count) => delivered += count,
            ("create", count) => created += count,
            _ => {}
        }
    }
    let inboxes = site.shell.json(&["inbox", "list"]);
    let inboxes = inboxes.as_array().expect("a list");
    assert_eq!(inboxes.len() as u64, created + 1, "each was made once");
    let counted = inboxes[0]["messages_count"].as_u64();
    assert_eq!(counted, Some(delivered));
    site.shell.done(&["verify"]);
}
