//! The drawing of graphs: boxes do not overlap, edges run from step to step and through no box, on each screen.

use serde_json::{Value, json};
use tests::{Stack, StackOptions, browser::Browser, browser::Screen};

use super::any_saga::{define, definition, payment, record, run, stock};
use super::{dashboard, with_dashboard};

/// Lists the faults of the page's drawing.
const FLAWS: &str = r#"
    const flaws = [];
    const frame = document.querySelector(".graph").getBoundingClientRect();
    const boxes = [...document.querySelectorAll(".graph .node")].map((node) => [node.dataset.node, node.querySelector("rect").getBoundingClientRect()]);
    const isIn = ({ x, y }, box, margin) => x > box.left + margin && x < box.right - margin && y > box.top + margin && y < box.bottom - margin;
    for (const [name, box] of boxes) {
        if (box.left < 0 || box.right > innerWidth || box.left < frame.left || box.right > frame.right || box.bottom > frame.bottom) flaws.push(`${name} is outside`);
        for (const [other, { left, right, top, bottom }] of boxes) {
            if (name !== other && left < box.right && box.left < right && top < box.bottom && box.top < bottom) flaws.push(`${name} overlaps ${other}`);
        }
    }
    for (const path of document.querySelectorAll(".graph .edge > path:first-child")) {
        const matrix = path.getScreenCTM();
        for (let at = 0; at <= path.getTotalLength(); at += 2) {
            const point = path.getPointAtLength(at).matrixTransform(matrix);
            for (const [name, box] of boxes) if (isIn(point, box, 1.5)) flaws.push(`${path.parentNode.dataset.edge} runs through ${name}`);
        }
    }
    for (const text of document.querySelectorAll(".graph .node text")) {
        const { left, right } = text.getBoundingClientRect();
        const box = text.parentNode.querySelector("rect").getBoundingClientRect();
        if (left < box.left || right > box.right) flaws.push(`${text.textContent} is wider than its box`);
        if (text.textContent.endsWith("…")) flaws.push(`${text.textContent} is cut`);
    }
    return [...new Set(flaws)];
"#;

pub(super) async fn assert_well_drawn(browser: &Browser, what: &str) {
    assert_eq!(browser.run(FLAWS, vec![]).await, json!([]), "{what}");
}

/// A diamond whose last step comes after the first one too, a fan-out of eight, and a long chain.
fn shapes() -> Vec<(&'static str, Value)> {
    let shares: Vec<_> = (1..=8).map(|n| format!("share-{n}")).collect();
    let shares: Vec<_> = shares.iter().map(String::as_str).collect();
    let mut fan_out = vec![stock("reserve", &[])];
    fan_out.extend(shares.iter().map(|share| payment(share, &["reserve"])));
    fan_out.push(record("share-1", &shares));
    let chain: Vec<_> = (1..=10).map(|n| format!("part-{n}-of-the-whole-long-journey")).collect();
    let after = |index: usize| index.checked_sub(1).map(|before| chain[before].as_str());
    let chain = chain.iter().enumerate().map(|(index, name)| payment(name, after(index).as_slice()));
    vec![
        (
            "diamond",
            definition(vec![
                payment("deposit", &[]),
                payment("flight", &["deposit"]),
                stock("hotel", &["deposit"]),
                record("deposit", &["deposit", "flight", "hotel"]),
            ]),
        ),
        ("fan-out", definition(fan_out)),
        ("chain", definition(chain.collect())),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn graphs_are_readable_on_a_desktop() {
    look_at_graphs(Screen::Desktop, ["wide", "wide", "narrow"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn graphs_are_readable_on_a_phone() {
    look_at_graphs(Screen::Phone, ["narrow"; 3]).await;
}

async fn look_at_graphs(screen: Screen, forms: [&str; 3]) {
    with_dashboard(StackOptions::default(), screen, "", async |stack: &Stack, browser| {
        for ((name, body), form) in shapes().into_iter().zip(forms) {
            let steps = body["steps"].as_array().map_or(0, Vec::len);
            define(stack, &format!("{name}/1"), body).await;
            let id = run(stack, name).await;
            for view in [format!("saga/{id}"), format!("definitions/{name}/1")] {
                browser.open(&dashboard(stack, &view)).await;
                browser.see_count(&format!("[data-form={form}] .node"), steps).await;
                assert_well_drawn(browser, &format!("{view} of {name} ({screen:?})")).await;
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn generated_graphs_are_drawn_without_a_box_or_an_edge_in_the_way() {
    // Steps of random graphs, made from a seed; each step comes after some of those before it.
    const CHECK: &str = r#"
        const { layers, wide, narrow } = await import(new URL("js/layout.js", document.baseURI));
        const flaws = [];
        let drawn = 0;
        for (let seed = 1; seed <= 150; seed += 1) {
            let state = seed;
            const random = () => (state = (state * 48271) % 2147483647) / 2147483647;
            // The first numbers of small seeds are all small.
            for (let warm = 0; warm < 5; warm += 1) random();
            const count = 1 + Math.floor(random() * 14);
            const steps = Array.from({ length: count }, (_, index) => ({ name: `s${index}`,
                after: Array.from({ length: index }, (_, before) => `s${before}`).filter(() => random() < 0.3) }));
            const depth = layers(steps);
            for (const { name, after } of steps) {
                const expected = Math.max(0, ...after.map((before) => depth.get(before) + 1));
                if (depth.get(name) !== expected) flaws.push(`${seed}: ${name} is not in the layer of its longest path`);
            }
            const gap = { x: 50, y: 14 };
            for (const [form, node] of [[wide, { width: 150, height: 50 }], [narrow, { width: 320, height: 48 }]]) {
                const { nodes, edges, indent = 0 } = form(steps, node, gap);
                const place = new Map(nodes.map(({ name, x, y }) => [name, { left: x, top: y, right: x + node.width - indent, bottom: y + node.height }]));
                drawn += count;
                if (place.size !== count) flaws.push(`${seed} ${form.name}: ${place.size} boxes of ${count} steps`);
                const told = new Set(edges.flatMap(({ from, to }) => from.flatMap((a) => to.map((b) => `${a}>${b}`))));
                const given = steps.flatMap(({ name, after }) => after.map((before) => `${before}>${name}`));
                if (told.size !== given.length || !given.every((edge) => told.has(edge))) flaws.push(`${seed} ${form.name}: other edges`);
                const boxes = [...place];
                for (const [a, one] of boxes) for (const [b, two] of boxes) {
                    if (a < b && one.left < two.right && two.left < one.right && one.top < two.bottom && two.top < one.bottom) flaws.push(`${seed} ${form.name}: ${a} overlaps ${b}`);
                }
                const trunks = form === narrow ? edges.map(({ path }) => /^M([\d.]+),([\d.]+)V([\d.]+)/.exec(path).slice(1).map(Number)) : [];
                trunks.forEach(([x, from, to], index) => {
                    if (trunks.slice(0, index).some(([other, top, bottom]) => other === x && top < to && from < bottom)) flaws.push(`${seed} narrow: two lines at ${x} are one`);
                });
                for (const { from, to, path: line, arrows } of edges) {
                    if (arrows.length !== to.length) flaws.push(`${seed} ${form.name}: ${arrows.length} arrows to ${to}`);
                    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
                    path.setAttribute("d", line);
                    for (let at = 0; at <= path.getTotalLength(); at += 3) {
                        const { x, y } = path.getPointAtLength(at);
                        const hit = boxes.find(([, box]) => x > box.left + 1 && x < box.right - 1 && y > box.top + 1 && y < box.bottom - 1);
                        if (hit) { flaws.push(`${seed} ${form.name}: ${from}>${to} runs through ${hit[0]}`); break; }
                    }
                }
            }
        }
        if (drawn < 1500) flaws.push(`only ${drawn} boxes`);
        return flaws.slice(0, 10);
    "#;
    with_dashboard(StackOptions::default(), Screen::Desktop, "", async |_, browser| {
        assert_eq!(browser.run_async(CHECK, vec![]).await, json!([]));
    })
    .await;
}
