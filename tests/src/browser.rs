//! A real Chromium, driven by WebDriver: Debian's `chromium` and `chromium-driver`.
//!
//! ```text
//! test ── with_browser ──► chromedriver (a separate process on a free port) ──► Chromium, headless
//!   └ every check of the page waits up to PATIENCE; no check sleeps or measures time
//! ```

use std::{
    fs,
    panic::{AssertUnwindSafe, resume_unwind},
    process::Stdio,
};

use fantoccini::{
    Client, ClientBuilder, Locator,
    elements::Element,
    wd::{Capabilities, WebDriverCompatibleCommand},
};
use futures::FutureExt;
use hyper_util::client::legacy::connect::HttpConnector;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::{PATIENCE, files::TemporaryFolder, wait_until};

/// The screen of the browser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Screen {
    /// 1600 × 1000, light.
    Desktop,
    /// The same, dark.
    Dark,
    /// 1280 × 800.
    Laptop,
    /// 768 × 1024.
    Tablet,
    /// 360 × 740.
    Phone,
}

/// A browser with one page.
pub struct Browser {
    client: Client,
    driver: Child,
    /// The folder for temporary files of both processes, which leave some behind.
    files: TemporaryFolder,
}

/// Runs a test with its own browser and closes it, even if the test fails.
///
/// # Panics
/// When the test panics, or there is no Chromium.
pub async fn with_browser(screen: Screen, test: impl AsyncFnOnce(&Browser)) {
    let browser = Browser::start(screen).await;
    let outcome = AssertUnwindSafe(test(&browser)).catch_unwind().await;
    if outcome.is_err() {
        println!("the page when the test failed:\n{}", browser.text_or_nothing("body").await);
    }
    browser.end().await;
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

impl Browser {
    async fn start(screen: Screen) -> Self {
        let files = TemporaryFolder::new();
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .env("TMPDIR", files.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("chromedriver starts; where it is missing: apt-get install chromium chromium-driver");
        let port = port_of(&mut driver).await;
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities(capabilities(screen));
        let client = builder.connect(&format!("http://127.0.0.1:{port}")).await.expect("Chromium starts");
        let browser = Self { client, driver, files };
        if screen == Screen::Dark {
            let features = json!([{ "name": "prefers-color-scheme", "value": "dark" }]);
            browser.devtools("Emulation.setEmulatedMedia", json!({ "features": features })).await;
        }
        browser
    }

    async fn end(self) {
        let Self { client, mut driver, files } = self;
        // Closing lets Chromium end in order; afterwards its driver is not needed.
        let closed = client.close().await;
        let _ = driver.kill().await;
        // Its last processes may still write there.
        let removed = async || fs::remove_dir_all(files.path()).ok();
        wait_until("the browser's files are removed", PATIENCE, removed).await;
        closed.expect("a session can be closed");
    }

    /// Opens a page.
    ///
    /// # Panics
    /// When it fails.
    pub async fn open(&self, url: &str) {
        self.client.goto(url).await.unwrap_or_else(|error| panic!("{url}: {error}"));
    }

    /// Loads the page again, and waits until it is loaded: what follows does not meet the old page.
    ///
    /// # Panics
    /// When it fails.
    pub async fn reload(&self) {
        self.client.refresh().await.expect("a page can be loaded again");
    }

    /// Runs a script in the page, given as a function body, and returns its result.
    ///
    /// # Panics
    /// When the script fails.
    pub async fn run(&self, script: &str, arguments: Vec<Value>) -> Value {
        self.client.execute(script, arguments).await.unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// Runs a script that returns a promise, and returns its result.
    ///
    /// # Panics
    /// When the script fails.
    pub async fn run_async(&self, script: &str, arguments: Vec<Value>) -> Value {
        let script = format!(
            "const done = arguments[arguments.length - 1]; (async () => {{ {script} }})().then(done, (error) => done({{ failed: String(error) }}))"
        );
        self.client.execute_async(&script, arguments).await.unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// Waits for a visible element.
    ///
    /// # Panics
    /// On timeout.
    pub async fn see(&self, css: &str) -> Element {
        wait_until(&format!("{css} is seen"), PATIENCE, async || {
            let element = self.client.find(Locator::Css(css)).await.ok()?;
            element.is_displayed().await.unwrap_or(false).then_some(element)
        })
        .await
    }

    /// Waits until the text of an element contains the expected text.
    ///
    /// # Panics
    /// On timeout.
    pub async fn see_text(&self, css: &str, expected: &str) {
        wait_until(&format!("{css} says {expected:?}"), PATIENCE, async || {
            self.text_or_nothing(css).await.contains(expected).then_some(())
        })
        .await;
    }

    /// Waits until this many elements match.
    ///
    /// # Panics
    /// On timeout.
    pub async fn see_count(&self, css: &str, count: usize) {
        wait_until(&format!("there are {count} of {css}"), PATIENCE, async || {
            (self.count(css).await == count).then_some(())
        })
        .await;
    }

    /// Returns the current number of matching elements.
    pub async fn count(&self, css: &str) -> usize {
        let count = self.run("return document.querySelectorAll(arguments[0]).length", vec![css.into()]).await;
        count.as_u64().and_then(|count| usize::try_from(count).ok()).unwrap_or_default()
    }

    /// Clicks an element as soon as possible: at first it may be disabled, covered or re-rendered.
    ///
    /// # Panics
    /// On timeout.
    pub async fn click(&self, css: &str) {
        wait_until(&format!("{css} can be clicked"), PATIENCE, async || {
            let element = self.client.find(Locator::Css(css)).await.ok()?;
            let is_ready = element.is_enabled().await.unwrap_or(false);
            // A driver counts an element covered by the top bar as visible, so scroll it to the center.
            self.run("document.querySelector(arguments[0])?.scrollIntoView({ block: 'center' })", vec![css.into()])
                .await;
            if is_ready { element.click().await.ok() } else { None }
        })
        .await;
    }

    /// Types into an element, or presses keys while it has the focus.
    ///
    /// # Panics
    /// When that fails.
    pub async fn type_into(&self, css: &str, keys: &str) {
        let element = self.see(css).await;
        element.send_keys(keys).await.unwrap_or_else(|error| panic!("{css}: {error}"));
    }

    /// Selects an option by its value as soon as there is one.
    ///
    /// # Panics
    /// On timeout.
    pub async fn choose(&self, css: &str, value: &str) {
        wait_until(&format!("{css} offers {value}"), PATIENCE, async || {
            let element = self.client.find(Locator::Css(css)).await.ok()?;
            if element.is_displayed().await.ok()? { element.select_by_value(value).await.ok() } else { None }
        })
        .await;
    }

    /// Returns the text of an element; empty without the element.
    pub async fn text_or_nothing(&self, css: &str) -> String {
        match self.client.find(Locator::Css(css)).await {
            Ok(element) => element.text().await.unwrap_or_default(),
            Err(_) => String::new(),
        }
    }

    /// Runs axe-core in the page; returns findings of serious or critical impact, one per line.
    ///
    /// # Panics
    /// When axe-core does not run.
    pub async fn serious_findings(&self) -> Vec<String> {
        const AXE: &str = include_str!("../data/axe-core/axe.min.js");
        // Finish animations first, so that axe-core sees the final state.
        self.run("for (const animation of document.getAnimations()) if (animation.effect.getTiming().iterations !== Infinity) animation.finish()", vec![]).await;
        self.run(AXE, vec![]).await;
        let found = self
            .run_async(
                "const { violations, passes } = await axe.run(document);
                 return { passes: passes.length, violations: violations
                     .filter(({ impact }) => impact === 'serious' || impact === 'critical')
                     .flatMap(({ id, help, nodes }) => nodes.map(({ target, failureSummary }) => `${id}: ${help}: ${target} ${failureSummary}`)) }",
                vec![],
            )
            .await;
        assert!(found["passes"].as_u64().is_some_and(|passes| passes > 5), "axe looked at nothing: {found}");
        let findings = found["violations"].as_array().expect("axe lists its findings");
        findings.iter().map(|finding| finding.as_str().unwrap_or_default().to_owned()).collect()
    }

    async fn devtools(&self, command: &str, parameters: Value) {
        let command = Devtools(json!({ "cmd": command, "params": parameters }));
        self.client.issue_cmd(command).await.expect("Chromium takes commands of its developer tools");
    }
}

/// chromedriver's own endpoint for developer tools commands.
#[derive(Debug)]
struct Devtools(Value);

impl WebDriverCompatibleCommand for Devtools {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/goog/cdp/execute", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &url::Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.0.to_string()))
    }
}

async fn port_of(driver: &mut Child) -> u16 {
    let output = driver.stdout.take().expect("its output is piped");
    let mut lines = BufReader::new(output).lines();
    let found = async {
        while let Ok(Some(line)) = lines.next_line().await {
            let port = line.split_once("successfully on port ").map(|(_, port)| port.trim_end_matches('.').to_owned());
            if let Some(port) = port.and_then(|port| port.parse().ok()) {
                return Some(port);
            }
        }
        None
    };
    let port = tokio::time::timeout(PATIENCE, found).await.ok().flatten();
    port.expect("chromedriver says on which port it listens")
}

fn capabilities(screen: Screen) -> Capabilities {
    let size = match screen {
        Screen::Desktop | Screen::Dark => "--window-size=1600,1000",
        Screen::Laptop => "--window-size=1280,800",
        Screen::Tablet => "--window-size=768,1024",
        Screen::Phone => "--window-size=500,740",
    };
    // Tests may run as root, in a container with little shared memory.
    let arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--lang=en", size];
    let mut options = json!({ "args": arguments });
    if screen == Screen::Phone {
        let metrics = json!({ "width": 360, "height": 740, "pixelRatio": 2, "touch": true, "mobile": true });
        options["mobileEmulation"] = json!({ "deviceMetrics": metrics });
    }
    let mut capabilities = Capabilities::new();
    capabilities.insert("browserName".to_owned(), json!("chrome"));
    capabilities.insert("goog:chromeOptions".to_owned(), options);
    // A page that never finishes loading fails only its test, not the whole run.
    capabilities.insert("timeouts".to_owned(), json!({ "script": 60_000, "pageLoad": 60_000 }));
    capabilities
}
