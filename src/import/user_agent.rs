//! Browser, system and device of a user agent, and whether it is a robot.
//!
//! Names come from `ua-parser`, the Rust library of the ua-parser organisation (0.2.2 of
//! 2026-03-19), over the rules of its uap-core, which lie beside this file as `user_agents.json`
//! (`user_agents.py` renews them); then they become what PostHog calls the same. Considered and
//! left: woothee (last release, and last robots, of 2021-10-31), isbot (0.1.3, robots of 2022) and
//! uaparser (no rules of its own either, last release of 2024-06-11).
//!
//! A robot is what isn't a person at a browser, as analytics products commonly have it: crawlers and
//! previewers, HTTP libraries and command line tools, feed readers, monitors, headless browsers,
//! and clients that send no user agent at all.

use std::collections::HashMap;
use std::sync::OnceLock;

use indexmap::IndexSet;
use ua_parser::{Extractor, Regexes};

const RULES: &str = include_str!("user_agents.json");

/// How many user agents are remembered; a log has some thousands.
const REMEMBERED: usize = 65_536;
/// So much of a user agent is looked at: what a browser says fits, and what somebody sends to keep
/// the rules busy doesn't.
const LENGTH_LIMIT_BYTES: usize = 1024;

/// In small letters: what a user agent says of itself that isn't a browser in somebody's hands, and
/// that uap-core doesn't call a spider. Declared crawlers name a page or a mail address.
const ROBOT_WORDS: [&str; 25] = [
    "http://",
    "https://",
    "@",
    "headless",
    "phantomjs",
    "lighthouse",
    "curl/",
    "wget",
    "python",
    "libwww-perl",
    "feed",
    "rss/",
    "fetch",
    "crawl",
    "spider",
    "slurp",
    "scanner",
    "monitor",
    "pinger",
    "preview",
    "validator",
    "checker",
    "imageproxy",
    "subscribers",
    "thunderbird",
];

/// Browsers and phones that don't call themselves Mozilla or Opera, in small letters.
const OTHER_BROWSERS: [&str; 12] = [
    "midp",
    "wap",
    "browser",
    "nokia",
    "samsung",
    "sonyericsson",
    "blackberry",
    "docomo",
    "lynx",
    "links",
    "w3m",
    " webkit/",
];

/// What an event says of the client.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Client {
    pub browser: String,
    pub os: String,
    /// `Desktop`, `Mobile`, `Tablet` or empty.
    pub device_type: &'static str,
    pub is_robot: bool,
}

/// Looks user agents up and remembers them.
#[derive(Debug, Default)]
pub(super) struct Clients {
    known: IndexSet<Client>,
    remembered: HashMap<Box<[u8]>, usize>,
}

impl Clients {
    /// The index of the client of a user agent; none where the log has no such field.
    pub fn index_of(&mut self, user_agent: Option<&[u8]>) -> usize {
        let Some(user_agent) = user_agent else {
            return self.known.insert_full(Client::default()).0;
        };
        let user_agent = &user_agent[..user_agent.len().min(LENGTH_LIMIT_BYTES)];
        if let Some(&index) = self.remembered.get(user_agent) {
            return index;
        }
        let client = client_of(&String::from_utf8_lossy(user_agent));
        let index = self.known.insert_full(client).0;
        if self.remembered.len() >= REMEMBERED {
            self.remembered.clear();
        }
        self.remembered.insert(user_agent.into(), index);
        index
    }

    pub fn get(&self, index: usize) -> &Client {
        &self.known[index]
    }
}

/// Compiled once: 0.5 s in a debug build, measured 2026-11-22.
fn extractor() -> &'static Extractor<'static> {
    static EXTRACTOR: OnceLock<Extractor<'static>> = OnceLock::new();
    EXTRACTOR.get_or_init(|| {
        let rules: Regexes<'static> =
            serde_json::from_str(RULES).expect("the tests read the rules that are compiled in");
        Extractor::try_from(rules).expect("the tests compile the rules that are compiled in")
    })
}

fn client_of(user_agent: &str) -> Client {
    let extractor = extractor();
    let family = extractor.ua.extract(user_agent).map(|found| found.family);
    let family = family.unwrap_or_default();
    let system = extractor.os.extract(user_agent).map(|found| found.os);
    let system = system.unwrap_or_default();
    let is_spider = extractor.dev.extract(user_agent).is_some();

    let lower = user_agent.to_ascii_lowercase();
    let os = os_name(&system);
    let is_robot = is_robot(&lower, &family, &system, is_spider);
    Client {
        browser: browser_name(&family).to_owned(),
        os: os.to_owned(),
        device_type: if is_robot {
            ""
        } else {
            device_type(&lower, os)
        },
        is_robot,
    }
}

fn is_robot(lower: &str, family: &str, system: &str, is_spider: bool) -> bool {
    // Two that uap-core's list of spiders hits by a syllable: the phones of Cubot, Amazon's browser.
    let is_spider = is_spider && !lower.contains("cubot") && family != "Amazon Silk";
    let says_browser = if lower.starts_with("mozilla/") || lower.starts_with("opera/") {
        // "Mozilla/5.0" alone, or with "(compatible; SomeTool)", names no browser.
        !(family.is_empty() && system.is_empty())
    } else {
        OTHER_BROWSERS.iter().any(|word| lower.contains(word))
    };
    is_spider || !says_browser || ROBOT_WORDS.iter().any(|word| lower.contains(word))
}

/// What PostHog calls a browser that uap-core calls `family`
/// (`posthog-js`, `utils/user-agent-utils.ts`).
fn browser_name(family: &str) -> &str {
    match family {
        "Chrome Mobile" | "Chrome Mobile WebView" | "Chromium" | "HeadlessChrome" => "Chrome",
        "Chrome Mobile iOS" => "Chrome iOS",
        "Mobile Safari UI/WKWebView" | "MobileSafari" => "Mobile Safari",
        "Firefox Mobile" | "Firefox Beta" | "Firefox Alpha" => "Firefox",
        "Edge" | "Edge Mobile" => "Microsoft Edge",
        "IE" | "IE Large Screen" => "Internet Explorer",
        "IE Mobile" => "Internet Explorer Mobile",
        "Opera Mobile" => "Opera",
        "Android" => "Android Mobile",
        "BlackBerry WebKit" => "BlackBerry",
        "Facebook" | "Facebook Messenger" => "Facebook Mobile",
        "Other" => "",
        other => other,
    }
}

/// What PostHog calls a system; the distributions of Linux are one.
fn os_name(system: &str) -> &str {
    match system {
        "Ubuntu" | "Debian" | "Fedora" | "CentOS" | "Red Hat" | "Gentoo" | "SUSE" | "Mandriva"
        | "Linux Mint" | "Arch Linux" | "Slackware" | "Kubuntu" | "Mageia" | "PCLinuxOS"
        | "Puppy" | "Lubuntu" | "Mint" => "Linux",
        "Mac OS" => "Mac OS X",
        "BlackBerry Tablet OS" | "BlackBerry OS" => "BlackBerry",
        "Other" => "",
        other => other,
    }
}

fn device_type(lower: &str, os: &str) -> &'static str {
    // Internet Explorer on a desktop says that it would run on a "Tablet PC", too.
    let lower = lower.replace("tablet pc", "");
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if says(&[
        "smart-tv", "smarttv", "googletv", "appletv", "hbbtv", "crkey", " tv",
    ]) {
        ""
    } else if says(&["ipad", "tablet", "playbook", "kindle", "silk/"])
        || (lower.contains("android") && !lower.contains("mobile"))
    {
        "Tablet"
    } else if says(&[
        "mobile",
        "mobi/",
        "iphone",
        "ipod",
        "android",
        "midp",
        "opera mini",
        "wap",
    ]) || matches!(
        os,
        "Windows Phone" | "BlackBerry" | "Symbian OS" | "KaiOS" | "Windows Mobile"
    ) {
        "Mobile"
    } else {
        match os {
            "Windows" | "Mac OS X" | "Linux" | "Chrome OS" | "FreeBSD" | "OpenBSD" | "NetBSD"
            | "Solaris" => "Desktop",
            _ => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_those_of_posthog() {
        let safari = "AppleWebKit/605.1.15 (KHTML, like Gecko)";
        let blink = "AppleWebKit/537.36 (KHTML, like Gecko)";
        for (user_agent, expected) in [
            (
                format!("(Windows NT 10.0; Win64; x64) {blink} Chrome/126.0.0.0 Safari/537.36"),
                ("Chrome", "Windows", "Desktop"),
            ),
            (
                format!(
                    "(Windows NT 10.0; Win64; x64) {blink} Chrome/126.0 Safari/537.36 Edg/126.0"
                ),
                ("Microsoft Edge", "Windows", "Desktop"),
            ),
            (
                format!(
                    "(Windows NT 10.0; Win64; x64) {blink} Chrome/126.0.0.0 Safari/537.36 OPR/112.0.0.0"
                ),
                ("Opera", "Windows", "Desktop"),
            ),
            (
                "(X11; Ubuntu; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0".to_owned(),
                ("Firefox", "Linux", "Desktop"),
            ),
            (
                format!(
                    "(Macintosh; Intel Mac OS X 10_15_7) {safari} Version/17.5 Safari/605.1.15"
                ),
                ("Safari", "Mac OS X", "Desktop"),
            ),
            (
                format!(
                    "(iPhone; CPU iPhone OS 17_5 like Mac OS X) {safari} Version/17.5 Mobile/15E148 Safari/604.1"
                ),
                ("Mobile Safari", "iOS", "Mobile"),
            ),
            (
                format!(
                    "(iPad; CPU OS 12_5 like Mac OS X) {safari} Version/12.1 Mobile/15E148 Safari/604.1"
                ),
                ("Mobile Safari", "iOS", "Tablet"),
            ),
            (
                format!("(Linux; Android 14; Pixel 8) {blink} Chrome/126.0 Mobile Safari/537.36"),
                ("Chrome", "Android", "Mobile"),
            ),
            (
                format!("(Linux; Android 13; SM-X200) {blink} Chrome/126.0 Safari/537.36"),
                ("Chrome", "Android", "Tablet"),
            ),
            (
                format!("(Linux; Android 9; CUBOT X19) {blink} Chrome/126.0 Mobile Safari/537.36"),
                ("Chrome", "Android", "Mobile"),
            ),
            (
                format!(
                    "(Linux; Android 9; KFMAWI) {blink} Silk/126.1 like Chrome/126.0 Safari/537.36"
                ),
                ("Amazon Silk", "Android", "Tablet"),
            ),
            (
                "(compatible; MSIE 10.0; Windows NT 6.1; Trident/6.0)".to_owned(),
                ("Internet Explorer", "Windows", "Desktop"),
            ),
            (
                format!("(X11; CrOS x86_64 14541.0.0) {blink} Chrome/126.0 Safari/537.36"),
                ("Chrome", "Chrome OS", "Desktop"),
            ),
        ] {
            let client = client_of(&format!("Mozilla/5.0 {user_agent}"));
            let found = (&*client.browser, &*client.os, client.device_type);
            assert_eq!((found, client.is_robot), (expected, false), "{user_agent}");
        }
    }

    #[test]
    fn robots_are_crawlers_tools_feed_readers_monitors_and_the_nameless() {
        for robot in [
            "",
            "Mozilla/5.0",
            "Mozilla/4.0 (compatible;)",
            "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
            "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; ClaudeBot/1.0; +claudebot@anthropic.com)",
            "Mozilla/5.0 (Linux; Android 5.0) AppleWebKit/537.36 (KHTML, like Gecko) Mobile Safari/537.36 (compatible; Bytespider; spider-feedback@bytedance.com)",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/126.0 Safari/537.36",
            "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
            "meta-externalagent/1.1 (+https://developers.facebook.com/docs/sharing/webmasters/crawler)",
            "curl/8.5.0",
            "Wget/1.21",
            "python-requests/2.31.0",
            "Go-http-client/1.1",
            "okhttp/4.12.0",
            "Ruby",
            "Java/17.0.1",
            "UniversalFeedParser/4.2-pre-314-svn +http://feedparser.org/",
            "Feedbin - 1 subscribers",
            "Pingdom.com_bot_version_1.4_(http://www.pingdom.com/)",
            "Mozilla/5.0 (compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)",
            "NewRelicPinger/1.0 (1234567)",
            "WhatsApp/2.23.20.0",
        ] {
            assert!(client_of(robot).is_robot, "{robot}");
        }
    }

    #[test]
    fn text_browsers_and_old_phones_are_people() {
        for person in [
            "Lynx/2.8.8dev.3 libwww-FM/2.14",
            "ELinks/0.12 (textmode; Linux; 80x24)",
            "SAMSUNG-GT-E2232/1.0 Openwave/6.2.3 Profile/MIDP-2.0 Configuration/CLDC-1.1",
            "Opera/9.80 (J2ME/MIDP; Opera Mini/7.1/32.0; U; en) Presto/2.8.119 Version/11.10",
        ] {
            assert!(!client_of(person).is_robot, "{person}");
        }
    }

    #[test]
    fn a_log_without_user_agents_has_no_robots() {
        let mut clients = Clients::default();
        let index = clients.index_of(None);
        assert_eq!(clients.get(index), &Client::default());
        let empty = clients.index_of(Some(b""));
        assert!(clients.get(empty).is_robot);
        assert_eq!(clients.index_of(Some(b"")), empty);
        assert_eq!(clients.remembered.len(), 1);
    }

    proptest! {
        // The rules take a millisecond for each in a debug build.
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn whatever_a_client_calls_itself_it_is_named_and_known_again(
            agent in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..1400),
                "Mozilla/[0-9.]{0,9} \\([;:.A-Za-z0-9 ]{0,40}\\) (Gecko|AppleWebKit|Presto)/[0-9.]{0,30}( [A-Z][a-z]{2,9}/[0-9._]{0,12}){0,3}"
                    .prop_map(String::into_bytes),
                "(Mozilla/5.0 )?\\PC{0,60}".prop_map(String::into_bytes),
                "(Opera|Version|Android|iPhone OS |Windows NT |MSIE )[0-9._]{0,200}".prop_map(String::into_bytes),
                // What somebody sends to keep rules with repetitions busy.
                "[a(\\[;/ ]{900,1100}".prop_map(String::into_bytes),
            ],
        ) {
            let mut clients = Clients::default();
            let index = clients.index_of(Some(&agent));
            let client = clients.get(index).clone();
            prop_assert!(["", "Desktop", "Mobile", "Tablet"].contains(&client.device_type));
            prop_assert!(!client.is_robot || client.device_type.is_empty());
            prop_assert!(client.browser.len() <= 3 * LENGTH_LIMIT_BYTES && client.os.len() <= 3 * LENGTH_LIMIT_BYTES);
            prop_assert_eq!(clients.index_of(Some(&agent)), index);
            let mut again = Clients::default();
            let index = again.index_of(Some(&agent));
            prop_assert_eq!(again.get(index), &client);
        }
    }
}
