//! `restock`: adds units to the stock of one product, or of all.

use clap::Args;
use common::ids::MAX_CHARS as MAX_ID_CHARS;
use uuid::Uuid;

use crate::{
    client::Target,
    configuration::Configuration,
    ending::{Ended, Failure},
    load::{Participants, delivery_id},
    output,
};

#[derive(Args)]
pub(crate) struct Restock {
    /// Units to add to each product
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    #[arg(conflicts_with = "to", required_unless_present = "to")]
    add: Option<u64>,
    /// Minimum number of units that each product has afterwards
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    to: Option<u64>,
    /// Product to restock; may be repeated [default: every product of the catalog]
    #[arg(long = "product", value_name = "ID")]
    products: Vec<String>,
    /// Name of the delivery: a repetition with the same name and contents adds nothing [default: a new one]
    #[arg(long, value_name = "KEY", requires = "add", conflicts_with = "to", value_parser = key)]
    key: Option<String>,
    #[command(flatten)]
    configuration: Configuration,
    #[command(flatten)]
    target: Target,
}

fn key(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        Err(format!("expected 1 to {} characters, not blank", key_limit("1")))
    } else {
        Ok(text.to_owned())
    }
}

/// Returns the length of the longest key of a delivery of a product: both are part of an id.
fn key_limit(product: &str) -> usize {
    MAX_ID_CHARS.saturating_sub(delivery_id("", product).chars().count())
}

/// Returns an error if the key and one of the products do not fit into an id.
fn check_length(key: &str, products: &[String]) -> Result<(), Failure> {
    let length = key.chars().count();
    match products.iter().find(|product| length > key_limit(product)) {
        None => Ok(()),
        Some(product) => Err(Failure::Usage(format!(
            "--key has {length} characters, expected 1 to {}, not blank, for product {product}",
            key_limit(product)
        ))),
    }
}

impl Restock {
    pub(crate) async fn run(self) -> Result<Ended, Failure> {
        if let Some(key) = &self.key {
            check_length(key, &self.products)?;
        }
        let settings = self.configuration.load()?;
        let participants = Participants::of(&self.target, &settings)?;
        let products = if self.products.is_empty() {
            participants.products().await.map_err(Failure::Broken)?
        } else {
            self.products
        };
        if let Some(key) = &self.key {
            check_length(key, &products)?;
        }
        let key = self.key.unwrap_or_else(|| Uuid::new_v4().to_string());
        let advice = match self.add {
            Some(_) => format!("`--key {key}` repeats this delivery without adding to them again"),
            None => "the same command restocks the others".to_owned(),
        };
        let mut rows = Vec::new();
        for product in products {
            let stock = match (self.add, self.to) {
                (Some(pieces), _) => participants.add(&product, pieces, &key).await,
                (None, to) => participants.fill_up(&product, to.unwrap_or_default()).await.map(|filled| filled.now),
            };
            let stock = stock.map_err(|reason| match rows.len() {
                0 => Failure::Broken(format!("product {product}: {reason}")),
                done => Failure::Broken(format!(
                    "product {product}: {reason}; {done} products before it are restocked. {advice}"
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

#[cfg(test)]
mod tests {
    use common::ids::TransactionId;

    use super::*;

    #[test]
    fn the_longest_key_makes_the_longest_id() {
        for product in ["7", "1000", "é"] {
            let key = "k".repeat(key_limit(product));
            assert!(check_length(&key, &[product.to_owned()]).is_ok());
            assert!(TransactionId::from_client(&delivery_id(&key, product)).is_ok());
            let Err(Failure::Usage(said)) = check_length(&format!("{key}k"), &["1".to_owned(), product.to_owned()])
            else {
                panic!("{product}: the key is too long");
            };
            assert!(said.contains("--key") && !said.contains("transaction_id"), "{said}");
        }
        for blank in ["", " ", "\t\u{a0}"] {
            assert_eq!(key(blank), Err("expected 1 to 90 characters, not blank".to_owned()));
        }
        assert_eq!(key(" d 1"), Ok(" d 1".to_owned()));
    }
}
