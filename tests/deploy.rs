//! What is in `deploy/` says to prefill only what prefill understands: its configuration, its variables,
//! its words. Nothing is started.

#[path = "support/told.rs"]
mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use prefill::config::Config;
use serde::Deserialize as _;
use serde_norway::Value;
use tempfile::TempDir;
use told::Told;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every file below `deploy/` by its path.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        // Made by make-secrets where somebody tries it, and nothing of the repository.
        if path.ends_with("compose/secrets") {
            continue;
        }
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

fn yaml(path: &str) -> Value {
    let text = text(path);
    let mut documents = serde_norway::Deserializer::from_str(&text);
    let read = Value::deserialize(documents.next().expect("a document"));
    assert!(documents.next().is_none(), "{path}: one document");
    let mut value = read.unwrap_or_else(|error| panic!("{path}: {error}"));
    value.apply_merge().expect("merges");
    value
}

fn strings(value: &Value) -> Vec<String> {
    let values = value.as_sequence().expect("a list").iter();
    values
        .map(|value| value.as_str().expect("a text").to_owned())
        .collect()
}

fn keys(value: &Value) -> BTreeSet<String> {
    let keys = value.as_mapping().expect("a mapping").keys();
    keys.map(|key| key.as_str().expect("a text").to_owned())
        .collect()
}

/// The program with no variable of ours but those that are given.
fn prefill(arguments: &[&str], set: &[(&str, &str)]) -> Told {
    let dir = tempfile::tempdir().expect("a directory");
    let mut command = Command::new(env!("CARGO_BIN_EXE_prefill"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PREFILL_") {
            command.env_remove(name);
        }
    }
    command.env("PREFILL_DATA_DIR", dir.path());
    command.args(arguments).envs(set.iter().copied());
    command.stdin(Stdio::null());
    Told::from(command.output().expect("the program starts"))
}

/// Words that the program would obey: it is asked for help after them instead.
#[track_caller]
fn understood(words: &[String]) {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let told = prefill(&[&words, &["--help"][..]].concat(), &[]).done();
    let command = words.iter().rev().find(|word| !word.starts_with('-'));
    let usage = format!("Usage: prefill {}", command.expect("a command"));
    assert!(told.out.contains(&usage), "{usage}: {told:?}");
}

/// A configuration as it would be read where its secrets are, which are in `secrets` by file name.
#[track_caller]
fn loaded(toml: &str, directory: &str, secrets: &BTreeMap<String, String>) -> (Config, TempDir) {
    let dir = TempDir::new().expect("a directory");
    for (name, secret) in secrets {
        std::fs::write(dir.path().join(name), secret).expect("written");
    }
    let here = format!("{}/", dir.path().display());
    let file = dir.path().join("prefill.toml");
    std::fs::write(&file, toml.replace(directory, &here)).expect("written");
    let config = Config::load(Some(&file), dir.path())
        .unwrap_or_else(|error| panic!("{}\n{toml}", error.chain()));
    assert!(config.ledger.url().expect("read").is_some(), "{toml}");
    (config, dir)
}

#[test]
fn every_yaml_file_can_be_read_and_every_variable_is_known() {
    let (mut read, mut variables) = (0, BTreeSet::new());
    for path in files(&root().join("deploy")) {
        let text = std::fs::read_to_string(&path).expect("text");
        if matches!(
            path.extension().and_then(|e| e.to_str()),
            Some("yaml" | "yml")
        ) {
            for document in serde_norway::Deserializer::from_str(&text) {
                let value = Value::deserialize(document);
                assert!(
                    value.is_ok_and(|value| value.is_mapping()),
                    "{}",
                    path.display()
                );
                read += 1;
            }
        }
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        variables.extend(
            words
                .filter(|word| word.starts_with("PREFILL_"))
                .map(str::to_owned),
        );
    }
    assert!(read >= 7, "{read}");
    assert!(variables.contains("PREFILL_DATA_DIR"), "{variables:?}");
    for name in variables {
        let told = prefill(&["config", "check", "--json"], &[(&name, "/tmp")]);
        let json = told.json();
        let known = json["variables"]
            .as_array()
            .is_some_and(|known| known.iter().any(|known| *known == name.as_str()));
        // Or it was read, and is no number, address or token.
        assert!(known || told.code == Some(2), "{name}: {json}");
    }
}

#[test]
fn compose_starts_what_is_there_and_publishes_nothing_beyond_loopback() {
    let compose = yaml("deploy/compose.yaml");
    let services = compose["services"].as_mapping().expect("services");
    let secrets = keys(&compose["secrets"]);
    let volumes = keys(&compose["volumes"]);
    let mut of_prefill = 0;
    for (name, service) in services {
        let name = name.as_str().expect("a name");
        for port in service.get("ports").map(strings).unwrap_or_default() {
            assert!(port.starts_with("127.0.0.1:"), "{name} publishes {port}");
        }
        for secret in service
            .get("secrets")
            .and_then(Value::as_sequence)
            .into_iter()
            .flatten()
        {
            let secret = secret.as_str().or_else(|| secret["source"].as_str());
            assert!(
                secrets.contains(secret.expect("a secret")),
                "{name}: {secret:?}"
            );
        }
        for volume in service.get("volumes").map(strings).unwrap_or_default() {
            let source = volume.split(':').next().expect("a source");
            match source.strip_prefix("./").map(|own| format!("deploy/{own}")) {
                Some(_) => {}
                None if source.starts_with("../") => {
                    assert!(
                        root().join("deploy").join(source).exists(),
                        "{name}: {source}"
                    );
                }
                None => assert!(volumes.contains(source), "{name}: {source}"),
            }
        }
        if service["image"].as_str() == Some("prefill") {
            of_prefill += 1;
            let build = &service["build"];
            let context = root()
                .join("deploy")
                .join(build["context"].as_str().expect("a path"));
            assert!(
                context
                    .join(build["dockerfile"].as_str().expect("a path"))
                    .exists()
            );
            understood(&strings(&service["command"]));
        } else {
            let test = strings(&service["healthcheck"]["test"]);
            assert_eq!(test[0], "CMD", "{name}");
            let image = service["image"].as_str().expect("an image");
            assert!(
                image.contains(':') && !image.ends_with(":latest"),
                "{image}"
            );
        }
    }
    assert_eq!(of_prefill, 2);

    // With what make-secrets makes, in a copy.
    let dir = TempDir::new().expect("a directory");
    let script = dir.path().join("make-secrets");
    std::fs::copy(root().join("deploy/compose/make-secrets"), &script).expect("copied");
    let make = || Command::new("sh").arg(&script).status().expect("sh");
    assert!(make().success());
    let made = || -> BTreeMap<String, String> {
        files(&dir.path().join("secrets"))
            .into_iter()
            .map(|path| {
                let name = path
                    .file_name()
                    .expect("a name")
                    .to_string_lossy()
                    .into_owned();
                (name, std::fs::read_to_string(path).expect("a secret"))
            })
            .collect()
    };
    let first = made();
    assert_eq!(first.keys().cloned().collect::<BTreeSet<_>>(), secrets);
    for (name, secret) in &compose["secrets"].as_mapping().expect("secrets").clone() {
        let file = format!("./compose/secrets/{}", name.as_str().expect("a name"));
        assert_eq!(secret["file"].as_str(), Some(&*file));
    }
    let ledger = format!(
        "postgres://prefill:{}@postgres:5432/prefill",
        first["postgres-password"]
    );
    assert_eq!(first["ledger"], ledger);
    // Done again it makes no other ones.
    assert!(make().success());
    assert_eq!(made(), first);
    let (config, _secrets) = loaded(
        &text("deploy/compose/prefill.toml"),
        "/run/secrets/",
        &first,
    );
    assert_eq!(config.http.tokens().expect("read").len(), 1);
    assert_eq!(config.http.read_only_tokens().expect("read").len(), 1);
    let url = config.warehouses["default"].url.as_deref();
    assert_eq!(url, Some("http://clickhouse:8123"));
    for host in ["postgres", "clickhouse"] {
        assert!(services.contains_key(host), "{host}");
    }
}

#[test]
fn the_image_is_not_root_and_says_whether_it_is_alive() {
    let dockerfile = text("deploy/Dockerfile");
    let lines = || dockerfile.lines().map(str::trim);
    let of = |begin: &str| {
        lines()
            .filter_map(|line| line.strip_prefix(begin))
            .next_back()
    };
    let user = of("USER ").expect("a user");
    assert!(
        user.split(':')
            .all(|id| id.parse::<u32>().is_ok_and(|id| id > 0)),
        "{user}"
    );
    assert!(dockerfile.contains("HEALTHCHECK") && dockerfile.contains("/healthz"));
    assert!(of("FROM ").is_some_and(|last| last == "base AS prefill"));
    let list =
        |begin| -> Vec<String> { serde_json::from_str(of(begin).expect("a list")).expect("JSON") };
    assert_eq!(list("ENTRYPOINT "), ["prefill"]);
    understood(&list("CMD "));
    // What is not in the context cannot be built from.
    let admitted = text("deploy/Dockerfile.dockerignore");
    for needed in ["Cargo.toml", "Cargo.lock", "src", "benches"] {
        assert!(
            admitted.lines().any(|line| line == format!("!{needed}")),
            "{needed}"
        );
        assert!(root().join(needed).exists(), "{needed}");
    }
}

#[test]
fn the_unit_runs_words_that_are_known_with_a_configuration_that_is() {
    let unit = text("deploy/prefill.service");
    let of = |key: &str| -> Vec<String> {
        let begin = format!("{key}=");
        let lines = unit.lines().filter_map(|line| line.strip_prefix(&*begin));
        lines.map(str::to_owned).collect()
    };
    let words: Vec<String> = of("ExecStart")[0].split(' ').map(str::to_owned).collect();
    assert_eq!(words[0], "/usr/bin/prefill");
    understood(&words[1..]);
    for (key, value) in [
        ("NoNewPrivileges", "yes"),
        ("ProtectSystem", "strict"),
        ("DynamicUser", "yes"),
        ("StateDirectory", "prefill"),
        ("KillSignal", "SIGTERM"),
        ("Restart", "on-failure"),
    ] {
        assert_eq!(of(key), [value], "{key}");
    }
    // What its head says to put into the file of secrets.
    assert_eq!(of("EnvironmentFile"), ["/etc/prefill/environment"]);
    let secrets: Vec<(&str, &str)> = unit
        .lines()
        .filter_map(|line| line.strip_prefix("#   ")?.split_once('='))
        .map(|(name, value)| (name, value.trim_matches('"')))
        .collect();
    assert_eq!(secrets.len(), 3);
    let json = prefill(&["config", "check", "--json"], &secrets)
        .done()
        .json();
    let counting = json["variables"].as_array().expect("names");
    for (name, _) in secrets {
        assert!(counting.iter().any(|known| known == name), "{name}: {json}");
    }
}

#[test]
fn the_manifests_belong_together_and_hold_a_configuration_that_is_valid() {
    let config_map = yaml("deploy/kubernetes/configmap.yaml");
    let secret = yaml("deploy/kubernetes/secret.example.yaml");
    let service = yaml("deploy/kubernetes/service.yaml");
    let deployment = yaml("deploy/kubernetes/deployment.yaml");
    let spec = &deployment["spec"];
    let pod = &spec["template"]["spec"];
    assert_eq!(
        spec["selector"]["matchLabels"],
        spec["template"]["metadata"]["labels"]
    );
    assert_eq!(service["spec"]["selector"], spec["selector"]["matchLabels"]);
    assert_eq!(pod["securityContext"]["runAsNonRoot"], Value::Bool(true));
    assert!(pod["terminationGracePeriodSeconds"].as_u64() >= Some(30));

    let volumes: BTreeMap<&str, &Value> = pod["volumes"]
        .as_sequence()
        .expect("volumes")
        .iter()
        .map(|volume| (volume["name"].as_str().expect("a name"), volume))
        .collect();
    assert_eq!(
        volumes["config"]["configMap"]["name"],
        config_map["metadata"]["name"]
    );
    assert_eq!(
        volumes["secrets"]["secret"]["secretName"],
        secret["metadata"]["name"]
    );
    let containers = ["initContainers", "containers"].map(|of| {
        let of = pod[of].as_sequence().expect("containers");
        assert_eq!(of.len(), 1);
        of[0].clone()
    });
    let mut secrets_at = None;
    for container in &containers {
        understood(&strings(&container["args"]));
        let confined = &container["securityContext"];
        assert_eq!(confined["allowPrivilegeEscalation"], Value::Bool(false));
        assert_eq!(confined["readOnlyRootFilesystem"], Value::Bool(true));
        assert!(container["resources"]["limits"]["memory"].is_string());
        for mount in container["volumeMounts"].as_sequence().expect("mounts") {
            let name = mount["name"].as_str().expect("a name");
            assert!(volumes.contains_key(name), "{name}");
            if name == "secrets" {
                secrets_at = mount["mountPath"].as_str();
            }
        }
    }
    let container = &containers[1];
    for (probe, path) in [
        ("startupProbe", "/healthz"),
        ("livenessProbe", "/healthz"),
        ("readinessProbe", "/readyz"),
    ] {
        assert_eq!(container[probe]["httpGet"]["path"].as_str(), Some(path));
        assert_eq!(
            container[probe]["httpGet"]["port"],
            container["ports"][0]["name"]
        );
    }

    let toml = config_map["data"]["prefill.toml"].as_str().expect("a text");
    let secrets = secret["stringData"].as_mapping().expect("secrets");
    let secrets = secrets.iter().map(|(name, secret)| {
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        (text(name), text(secret))
    });
    let (config, _secrets) = loaded(
        toml,
        &format!("{}/", secrets_at.expect("a path")),
        &secrets.collect(),
    );
    assert_eq!(config.http.tokens().expect("read").len(), 1);
    assert_eq!(config.http.read_only_tokens().expect("read").len(), 1);
    // Where it listens is where it is asked.
    let listen = config.http.listen.as_deref().expect("an address");
    let port = container["ports"][0]["containerPort"]
        .as_u64()
        .expect("a port");
    assert!(listen.ends_with(&format!(":{port}")), "{listen}");
    assert_eq!(
        service["spec"]["ports"][0]["targetPort"],
        container["ports"][0]["name"]
    );
    let scraped = &spec["template"]["metadata"]["annotations"]["prometheus.io/port"];
    assert_eq!(scraped.as_str(), Some(&*port.to_string()));
}

#[test]
fn what_the_docs_show_of_a_configuration_is_known() {
    let mut shown = 0;
    for path in [
        "README.md",
        "docs/production.md",
        "docs/posthog.md",
        "docs/quickstart.md",
    ] {
        for block in text(path).split("```toml\n").skip(1) {
            let block = block.split("```").next().expect("an end");
            let dir = TempDir::new().expect("a directory");
            let file = dir.path().join("prefill.toml");
            std::fs::write(&file, block).expect("written");
            // Files that it names are not there.
            if let Err(error) = Config::load(Some(&file), dir.path()) {
                let told = error.chain();
                assert!(told.contains("failed to read"), "{path}: {told}\n{block}");
                assert!(told.contains("_file"), "{path}: {told}\n{block}");
            }
            shown += 1;
        }
    }
    assert!(shown >= 3, "{shown}");
}
