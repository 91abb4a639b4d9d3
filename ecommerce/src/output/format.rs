//! The formats of a result: `-o`, and `--json`, which is the same as `-o json`.

use chrono::{DateTime, Utc};
use clap::{Args, ValueEnum};
use common::{console::Reader, printable::printable_json};

use super::{
    Cell,
    ago::{after, since},
    optional, print, tell, to_the_second, yaml,
};
use crate::ending::Failure;

#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct OutputFormat {
    /// Format of the result
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t, help_heading = "Output")]
    output: Format,
    /// The same as -o json; an error is JSON too, on standard error
    #[arg(long, conflicts_with = "output", help_heading = "Output")]
    json: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A table, with ages of times
    #[default]
    Table,
    /// A table with all columns and exact times
    Wide,
    /// The server's own document
    Json,
    /// That document as YAML
    Yaml,
}

impl OutputFormat {
    pub(crate) fn format(self) -> Format {
        if self.json { Format::Json } else { self.output }
    }

    /// Returns whether the result is for machines.
    pub(crate) fn is_document(self) -> bool {
        self.format().is_document()
    }

    /// Prints a JSON document of finished work in the format for machines; a write error is only logged.
    pub(crate) fn tell(self, document: &str) {
        tell(&self.format().document(document));
    }
}

impl Format {
    pub(crate) fn is_document(self) -> bool {
        match self {
            Self::Json | Self::Yaml => true,
            Self::Table | Self::Wide => false,
        }
    }

    /// Prints a JSON document in this format.
    pub(crate) fn print(self, document: &str) -> Result<Reader, Failure> {
        print(&self.document(document))
    }

    /// Formats a JSON document; its value is unchanged.
    pub(crate) fn document(self, json: &str) -> String {
        let json = json.trim_end();
        let yaml = if self == Self::Yaml { yaml::of_json(json) } else { None };
        yaml.unwrap_or_else(|| printable_json(json))
    }
}

/// How a table shows times.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    pub(crate) format: Format,
    /// The server's time of day, so that a wrong clock here makes no wrong age.
    pub(crate) now: DateTime<Utc>,
}

impl View {
    /// A view at this computer's time of day.
    pub(crate) fn now(format: Format) -> Self {
        Self { format, now: Utc::now() }
    }

    /// Makes a cell of an optional time in RFC 3339: its age, or all of it in the wide format.
    pub(crate) fn moment(&self, time: Option<impl AsRef<str>>) -> Cell {
        optional(time.map(|time| self.time(time.as_ref())))
    }

    /// Formats a time in RFC 3339 as [`View::moment`] does.
    pub(crate) fn time(&self, time: &str) -> String {
        match self.format {
            Format::Wide => time.to_owned(),
            Format::Table | Format::Json | Format::Yaml => since(time, self.now).unwrap_or_else(|| to_the_second(time)),
        }
    }

    /// Makes a cell of an optional time: what has passed since a start, or all of it in the wide format.
    pub(crate) fn offset(&self, time: Option<impl AsRef<str>>, start: Option<&str>) -> Cell {
        match (time, start) {
            (Some(time), Some(start)) if !self.is_wide() => {
                optional(Some(after(time.as_ref(), start).unwrap_or_else(|| to_the_second(time.as_ref()))))
            }
            (time, _) => self.moment(time),
        }
    }

    pub(crate) fn is_wide(&self) -> bool {
        self.format == Format::Wide
    }
}

#[cfg(test)]
impl View {
    /// A view of a given format at a fixed time of day.
    pub(crate) fn at(format: Format, now: &str) -> Self {
        Self { format, now: now.parse().unwrap() }
    }
}
