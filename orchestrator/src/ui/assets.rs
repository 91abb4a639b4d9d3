//! The files of the dashboard.
//!
//! A browser revalidates them with each visit: a new version shows at once, for one small response per file. They are
//! compressed once.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Write;
use std::sync::LazyLock;

use common::http::{ApiError, HeaderValue, Request, Response, StatusCode, header, negotiation, with_body};
use flate2::{Compression, write::GzEncoder};
use parking_lot::Mutex;
use rust_embed::RustEmbed;

/// The page itself.
const PAGE: &str = "index.html";

/// All style sheets as one file: a browser shows nothing before it has all of them.
const STYLE: &str = "style/all.css";
const STYLES: [&str; 8] = [
    "vendor/uplot/uPlot.css",
    "style/base.css",
    "style/frame.css",
    "style/overview.css",
    "style/list.css",
    "style/saga.css",
    "style/graph.css",
    "style/operate.css",
];

/// The page may load its own files and call its own service, nothing else; no inline scripts or styles.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; manifest-src 'self'; base-uri 'self'; form-action 'none'; frame-ancestors 'none'";

#[derive(RustEmbed)]
#[folder = "ui"]
struct Files;

/// Compressed files by the hash of their contents: one entry per file, in debug builds a few more.
static COMPRESSED: LazyLock<Mutex<HashMap<[u8; 32], Vec<u8>>>> = LazyLock::new(Mutex::default);

/// Returns a file.
///
/// # Errors
/// 404 if there is no such file.
pub(super) fn answer(request: &Request, name: &str) -> Result<Response, ApiError> {
    if name == STYLE {
        return Ok(unless_known(request, style()));
    }
    let file = Files::get(name).ok_or_else(|| ApiError::not_found(format!("the dashboard has no file {name}")))?;
    Ok(unless_known(request, Contents { name, hash: file.metadata.sha256_hash(), data: file.data }))
}

/// Joins the style sheets. The hash of the whole is made of theirs.
fn style() -> Contents<'static> {
    let (mut hash, mut data) = ([0_u8; 32], Vec::new());
    for file in STYLES.iter().filter_map(|name| Files::get(name)) {
        for (whole, part) in hash.iter_mut().zip(file.metadata.sha256_hash()) {
            *whole = whole.rotate_left(1) ^ part;
        }
        data.extend_from_slice(&file.data);
        data.push(b'\n');
    }
    Contents { name: STYLE, hash, data: data.into() }
}

/// Returns the page. Its links are relative, so that it works behind any prefix. Requested without the trailing slash,
/// the page is one level higher, so a `<base>` is inserted.
///
/// # Errors
/// 404 if the page is missing.
pub(super) fn page(request: &Request) -> Result<Response, ApiError> {
    if request.path.ends_with('/') {
        return answer(request, PAGE);
    }
    let file = Files::get(PAGE).ok_or_else(|| ApiError::not_found("the dashboard has no page"))?;
    let data = String::from_utf8_lossy(&file.data).replacen("<head>", "<head>\n  <base href=\"ui/\">", 1);
    let mut hash = file.metadata.sha256_hash();
    // Different contents need a different tag.
    hash[0] ^= 1;
    Ok(unless_known(request, Contents { name: PAGE, hash, data: data.into_bytes().into() }))
}

/// A file with its contents.
struct Contents<'a> {
    name: &'a str,
    hash: [u8; 32],
    data: Cow<'static, [u8]>,
}

fn unless_known(request: &Request, file: Contents<'_>) -> Response {
    let tag = format!("W/\"{}\"", file.hash[..12].iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    let mut response =
        if negotiation::has_already(&request.headers, &tag) { not_modified() } else { whole(request, file) };
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::try_from(tag) {
        headers.insert(header::ETAG, tag);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}

fn not_modified() -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    response
}

fn whole(request: &Request, Contents { name, hash, data }: Contents<'_>) -> Response {
    if !negotiation::accepts_encoding(&request.headers, "gzip") {
        return with_body(StatusCode::OK, content_type(name), data.into_owned());
    }
    let mut cache = COMPRESSED.lock();
    let body = cache.entry(hash).or_insert_with(|| compress(&data)).clone();
    let mut response = with_body(StatusCode::OK, content_type(name), body);
    response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    response
}

fn compress(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(data).and_then(|()| encoder.finish()).expect("writing into memory does not fail")
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "text/plain; charset=utf-8",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_file_has_a_type_that_browsers_take_and_no_file_names_another_origin() {
        let names: Vec<_> = Files::iter().collect();
        assert!(names.iter().any(|name| name == PAGE), "{names:?}");
        for name in names {
            let ending = name.rsplit_once('.').map(|(_, ending)| ending);
            assert!(matches!(ending, Some("html" | "js" | "css" | "svg" | "txt" | "md")), "{name}");
            let data = Files::get(&name).expect("it was listed").data;
            let text = std::str::from_utf8(&data).expect("all of them are text");
            // Documents may mention other origins; code that a browser runs may not load from them.
            for load in ["src=\"http", "from \"http", "from 'http", "url(http", "import(\"http", "@import"] {
                assert!(!text.contains(load), "{name} loads from elsewhere: {load}");
            }
        }
    }

    /// The text of a file.
    fn text(name: &str) -> String {
        let file = Files::get(name).unwrap_or_else(|| panic!("{name} is missing"));
        String::from_utf8(file.data.into_owned()).expect("all of them are text")
    }

    #[test]
    fn the_one_style_sheet_has_all_of_them() {
        let sheets: BTreeSet<_> = Files::iter().filter(|name| name.ends_with(".css")).collect();
        assert_eq!(sheets, STYLES.iter().map(|name| (*name).into()).collect());
        let all = String::from_utf8(style().data.into_owned()).expect("all of them are text");
        for name in STYLES {
            assert!(all.contains(&text(name)), "{name} is not in it");
        }
        assert!(text(PAGE).contains(STYLE));
    }

    #[test]
    fn the_page_preloads_the_modules_that_its_first_view_imports_and_no_others() {
        let mut imported = BTreeSet::new();
        let mut open = vec!["js/main.js".to_owned()];
        while let Some(name) = open.pop() {
            if !imported.insert(name.clone()) {
                continue;
            }
            let text = text(&name);
            let from = text.lines().filter(|line| line.starts_with("import ") || line.starts_with("export {"));
            for path in from.filter_map(|line| line.split_once(" from \"")?.1.split_once('"')).map(|(path, _)| path) {
                open.push(match path.strip_prefix("../") {
                    Some(vendored) => vendored.to_owned(),
                    None => format!("js/{}", path.trim_start_matches("./")),
                });
            }
        }
        let page = text(PAGE);
        let preloaded = page.split("rel=\"modulepreload\" href=\"").skip(1).filter_map(|rest| rest.split_once('"'));
        assert_eq!(preloaded.map(|(path, _)| path.to_owned()).collect::<BTreeSet<_>>(), imported);
    }

    #[test]
    fn every_file_that_is_not_ours_comes_with_its_licence() {
        let vendored: Vec<_> = Files::iter().filter(|name| name.starts_with("vendor/")).collect();
        assert!(!vendored.is_empty());
        for name in vendored.iter().filter(|name| !name.ends_with(".txt") && !name.ends_with(".md")) {
            let folder = name.rsplit_once('/').expect("vendored files are in folders").0;
            let licence = format!("{folder}/LICENSE");
            assert!(vendored.iter().any(|other| other.starts_with(&licence)), "{name} has no {licence}.txt");
        }
    }
}
