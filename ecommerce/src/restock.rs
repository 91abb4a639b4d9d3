//! `restock`: adds pieces to the stock of one product, or of all.

use clap::Args;
use uuid::Uuid;

use crate::{
    client::Target,
    configuration::Configuration,
    ending::{Ended, Failure},
    load::Participants,
    output,
};

#[derive(Args)]
pub(crate) struct Restock {
    /// Pieces to add to each product
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    #[arg(conflicts_with = "to", required_unless_present = "to")]
    add: Option<u64>,
    /// Pieces that each product has at least afterwards
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    to: Option<u64>,
    /// Product to restock; may be repeated [default: every product of the catalog]
    #[arg(long = "product", value_name = "ID")]
    products: Vec<String>,
    /// Name of the delivery: a repetition with the same name and contents adds nothing [default: a new one]
    #[arg(long, value_name = "KEY", requires = "add")]
    key: Option<String>,
    #[command(flatten)]
    configuration: Configuration,
    #[command(flatten)]
    target: Target,
}

impl Restock {
    pub(crate) async fn run(self) -> Result<Ended, Failure> {
        let settings = self.configuration.load()?;
        let participants = Participants::of(&self.target, &settings)?;
        let products = match self.products.is_empty() {
            true => participants.products().await.map_err(Failure::Broken)?,
            false => self.products,
        };
        let key = self.key.unwrap_or_else(|| Uuid::new_v4().to_string());
        let mut rows = Vec::new();
        for product in products {
            let stock = match (self.add, self.to) {
                (Some(pieces), _) => participants.add(&product, pieces, &format!("{key}:{product}")).await,
                (None, to) => participants.fill_up(&product, to.unwrap_or_default()).await.map(|filled| filled.now),
            };
            let stock = stock.map_err(|reason| match rows.len() {
                0 => Failure::Broken(format!("product {product}: {reason}")),
                done => Failure::Broken(format!(
                    "product {product}: {reason}; {done} products before it are restocked. `--key {key}` repeats this \
                     delivery without adding to them again"
                )),
            })?;
            rows.push((product, stock));
        }
        if self.target.output.is_document() {
            let all: Vec<_> = rows
                .iter()
                .map(|(product, stock)| serde_json::json!({ "product_id": product, "quantity": stock }))
                .collect();
            self.target.output.tell(&serde_json::json!({ "products": all }).to_string());
            return Ok(Ended::Done);
        }
        let cells = |(product, stock): (String, u64)| [product, stock.to_string()].map(output::cell);
        output::tell(&output::table(["product", "stock"], rows.into_iter().map(cells)));
        Ok(Ended::Done)
    }
}
