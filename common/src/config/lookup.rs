//! The default configuration folder: `./config`, if it belongs to this program.
//!
//! `config/default.toml` is a common name, so the folder of another project may contain one. The file is ours if at
//! least half of its keys are known: then the other keys are typing mistakes, which an error should name.

use std::path::{Path, PathBuf};

use super::{
    check::find,
    layers::{flatten, parse_toml},
    profiles::schema,
};

/// Result of looking for `config/default.toml` in the current folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The file has our settings.
    Ours(PathBuf),
    /// The file belongs to another program.
    Foreign(PathBuf),
    /// No `config/default.toml`.
    Nothing,
}

impl Found {
    /// Looks into the current folder.
    pub fn in_current_folder() -> Self {
        std::path::absolute("config").map_or(Self::Nothing, Self::look)
    }

    fn look(dir: PathBuf) -> Self {
        let file = dir.join("default.toml");
        match (file.is_file(), is_ours(&file)) {
            (false, _) => Self::Nothing,
            (true, true) => Self::Ours(dir),
            (true, false) => Self::Foreign(dir),
        }
    }
}

/// A file that cannot be read counts as ours, so that an error names it.
fn is_ours(file: &Path) -> bool {
    let Ok(text) = std::fs::read_to_string(file) else { return true };
    let Ok(given) = parse_toml(&file.display().to_string(), &text) else { return true };
    let (known, given) = (schema(), flatten(&given));
    let path = |key: &str| key.split('.').map(str::to_owned).collect::<Vec<_>>();
    let count = given.0.keys().filter(|key| find(&known, &path(key)).is_ok()).count();
    count * 2 >= given.0.len()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_folder_is_ours_if_half_of_its_keys_are() {
        let dir = std::env::temp_dir().join(format!("lookup-{}", std::process::id()));
        assert_eq!(Found::look(dir.clone()), Found::Nothing);
        fs::create_dir(&dir).unwrap();
        assert_eq!(Found::look(dir.clone()), Found::Nothing);
        let (ours, foreign) = (Found::Ours(dir.clone()), Found::Foreign(dir.clone()));
        let cases = [
            (include_str!("../../../config/default.toml"), &ours),
            ("", &ours),
            ("[services.catalog]\nport = 1\n", &ours),
            ("[services.catalog]\nport = 1\nprot = 2\n", &ours),
            ("[participants.flights]\nurl = 'http://flights:80'\n", &ours),
            ("this is no TOML", &ours),
            ("[server]\nport = 8000\n", &foreign),
            ("name = \"shop\"\n[database]\nurl = \"mysql://x\"\nname = \"y\"\n[log]\nlevel = \"info\"\n", &foreign),
        ];
        for (text, expected) in cases {
            fs::write(dir.join("default.toml"), text).unwrap();
            assert_eq!(&Found::look(dir.clone()), expected, "{text}");
        }
        fs::remove_dir_all(&dir).unwrap();
    }
}
