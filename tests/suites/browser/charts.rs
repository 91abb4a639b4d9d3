//! The charts of recent ends: time without an end is a gap in the lines, and labels are whole.

use serde_json::json;
use tests::{StackOptions, browser::Browser, browser::Screen, stack::ORCHESTRATOR};

use super::{LIVE, dashboard, with_dashboard};

/// SQL that makes sagas with an end in each second of the last minute, and of the minute that began four minutes ago.
fn ends_on_both_sides_of_a_gap() -> &'static str {
    "insert into saga (id, definition, definition_version, user_id, amount, status, begin_nonce, owner_node,
                       owner_incarnation, deadline_at, created_at, ended_at)
     select gen_random_uuid(), 'checkout', 1, 'ada', 5, 'COMPLETED', gen_random_uuid(), 'n', gen_random_uuid(), now(),
            now() - make_interval(secs => n) - interval '20 ms' * (1 + n % 5), now() - make_interval(secs => n)
     from generate_series(0, 240) n where n <= 60 or n >= 180"
}

/// SQL that makes sagas that took a minute and a half, in all ranges of time, and many fast ones within a second: both
/// have long labels.
fn long_and_many_ends() -> &'static str {
    "insert into saga (id, definition, definition_version, user_id, amount, status, begin_nonce, owner_node,
                       owner_incarnation, deadline_at, created_at, ended_at)
     select gen_random_uuid(), 'checkout', 1, 'ada', 5, 'COMPLETED', gen_random_uuid(), 'n', gen_random_uuid(), now(),
            now() - make_interval(secs => n) - case when n % 5 = 0 then interval '95 s' else interval '1 ms' end,
            now() - make_interval(secs => n)
     from (select unnest(array[0, 250, 3500, 86000]) as n union all select 11 from generate_series(1, 8000)) e"
}

#[tokio::test(flavor = "multi_thread")]
async fn time_without_an_end_is_a_gap_in_the_latencies() {
    // The widest gap between the drawn parts, as a share of the chart: columns of pixels without a colour. The grid is
    // grey.
    const GAP: &str = r#"
        const card = document.querySelector("[data-testid=latency]");
        const canvas = card.querySelector("canvas");
        const scale = canvas.width / canvas.getBoundingClientRect().width;
        const origin = canvas.getBoundingClientRect();
        const plot = card.querySelector(".u-over").getBoundingClientRect();
        const [left, top, width, height] = [plot.left - origin.left, plot.top - origin.top, plot.width, plot.height].map((length) => Math.round(length * scale));
        const { data } = canvas.getContext("2d").getImageData(left, top, width, height);
        const hasColour = (x, y) => {
            const [red, green, blue, alpha] = data.subarray((y * width + x) * 4);
            return alpha > 128 && Math.max(red, green, blue) - Math.min(red, green, blue) > 40;
        };
        const drawn = Array.from({ length: width }, (_, x) => x).filter((x) => Array.from({ length: height }, (_, y) => y).some((y) => hasColour(x, y)));
        const gaps = drawn.slice(1).map((x, index) => x - drawn[index] - 1);
        return [Math.max(...gaps) / width, (drawn.at(-1) - drawn[0]) / width];
    "#;
    with_dashboard(StackOptions::default(), Screen::Desktop, "services", async |stack, browser| {
        stack.database(ORCHESTRATOR).await.run(ends_on_both_sides_of_a_gap()).await;
        browser.open(&dashboard(stack, "")).await;
        browser.see("[data-testid=latency] canvas").await;
        let found = browser.run(GAP, vec![]).await;
        let share = |index: usize| found[index].as_f64().unwrap_or_default();
        // Four of five minutes have ends in them, but for nearly two in the middle.
        assert!(share(1) > 0.7, "the lines are drawn on both sides of the gap: {found}");
        assert!(share(0) > 0.3, "they have the gap of two minutes: {found}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_label_of_a_chart_is_cut_on_a_desktop() {
    look_at_labels(Screen::Desktop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_label_of_a_chart_is_cut_on_a_phone() {
    look_at_labels(Screen::Phone).await;
}

async fn look_at_labels(screen: Screen) {
    with_dashboard(StackOptions::default(), screen, "services", async |stack, browser| {
        stack.database(ORCHESTRATOR).await.run(long_and_many_ends()).await;
        for language in ["en", "es"] {
            browser.choose("#language", language).await;
            for range in ["5", "60", "1440"] {
                browser.open(&dashboard(stack, &format!("?range={range}"))).await;
                browser.see(LIVE).await;
                browser.see(&format!("[data-range='{range}'][aria-pressed=true]")).await;
                assert_whole_labels(browser, &format!("{range} minutes in {language} ({screen:?})")).await;
            }
        }
    })
    .await;
}

/// Draws the charts again and checks the place of each text on them.
async fn assert_whole_labels(browser: &Browser, what: &str) {
    const LABELS: &str = r#"
        const drawn = new Map();
        const { fillText, clearRect } = CanvasRenderingContext2D.prototype;
        // Each drawing begins with this; new data may arrive meanwhile.
        CanvasRenderingContext2D.prototype.clearRect = function (...area) {
            drawn.delete(this.canvas);
            return clearRect.apply(this, area);
        };
        CanvasRenderingContext2D.prototype.fillText = function (text, x, y, ...rest) {
            const { actualBoundingBoxLeft: left, actualBoundingBoxRight: right, actualBoundingBoxAscent: above, actualBoundingBoxDescent: below } = this.measureText(text);
            const at = this.getTransform().transformPoint({ x, y });
            const label = { text, left: at.x - left, right: at.x + right, top: at.y - above, bottom: at.y + below };
            drawn.set(this.canvas, [...(drawn.get(this.canvas) ?? []), label]);
            return fillText.call(this, text, x, y, ...rest);
        };
        dispatchEvent(new Event("themechange"));
        while (document.querySelectorAll(".chart canvas").length < 2 || drawn.size < 2) await new Promise(requestAnimationFrame);
        await new Promise(requestAnimationFrame);
        Object.assign(CanvasRenderingContext2D.prototype, { fillText, clearRect });
        const flaws = [];
        let count = 0;
        for (const [canvas, labels] of drawn) {
            for (const [index, label] of labels.entries()) {
                count += 1;
                if (label.left < 0 || label.top < 0 || label.right > canvas.width || label.bottom > canvas.height) flaws.push(`${label.text} is cut`);
                const other = labels.slice(0, index).find(({ left, right, top, bottom }) => label.left < right && left < label.right && label.top < bottom && top < label.bottom);
                if (other) flaws.push(`${label.text} overlaps ${other.text}`);
            }
        }
        return { flaws, count, texts: [...drawn.values()].flat().map(({ text }) => text) };
    "#;
    let found = browser.run_async(LABELS, vec![]).await;
    assert!(found["count"].as_u64().is_some_and(|count| count >= 8), "{what}: {found}");
    assert_eq!(found["flaws"], json!([]), "{what}: {found}");
}
