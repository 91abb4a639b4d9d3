//! `sagas show`: a saga with its steps, or a definition with its graph.

mod definition;
mod saga;

use clap::Args;

use crate::{
    client::Target,
    ending::{Ended, Failure},
    ids::{self, SagaId, saga_id},
};

#[derive(Args)]
pub(crate) struct Show {
    /// Id of a saga (a unique beginning or end of it is enough), or name and version of a definition, such as trip/1
    #[arg(value_name = "ID|NAME/VERSION", value_parser = subject, add = ids::completer())]
    subject: Subject,
    #[command(flatten)]
    target: Target,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Subject {
    Saga(SagaId),
    Definition(String, i32),
}

fn subject(text: &str) -> Result<Subject, String> {
    if let Ok(id) = saga_id(text) {
        return Ok(Subject::Saga(id));
    }
    let definition = text.rsplit_once('/').and_then(|(name, version)| {
        let version: i32 = version.parse().ok()?;
        (!name.is_empty() && version >= 1).then(|| Subject::Definition(name.to_owned(), version))
    });
    definition.ok_or_else(|| "expected the id of a saga, or name and version of a definition: trip/1".to_owned())
}

impl Show {
    pub(crate) async fn run(self) -> Result<Ended, Failure> {
        let format = self.target.output.format();
        match self.subject {
            Subject::Saga(id) => {
                let id = self.target.find(&id).await?;
                let url = self.target.url(&["sagas", &id.to_string()])?;
                self.target.get(url).await?.print(format, saga::shown)?;
            }
            Subject::Definition(name, version) => {
                let url = self.target.url(&["sagas", "definitions", &name, &version.to_string()])?;
                self.target.get(url).await?.print(format, |one, _| definition::shown(one))?;
            }
        }
        Ok(Ended::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_saga_and_a_name_with_a_version_is_a_definition() {
        let id = "0190a2f0-0000-7000-8000-0000deadbeef";
        assert_eq!(subject(id), Ok(Subject::Saga(SagaId::Whole(id.parse().unwrap()))));
        assert_eq!(subject("deadbeef"), Ok(Subject::Saga(SagaId::Part("deadbeef".to_owned()))));
        assert_eq!(subject("trip/2"), Ok(Subject::Definition("trip".to_owned(), 2)));
        for wrong in ["trip", "trip/", "/1", "trip/0", "trip/x", "trip/1/", ""] {
            assert!(subject(wrong).is_err(), "{wrong}");
        }
    }
}
