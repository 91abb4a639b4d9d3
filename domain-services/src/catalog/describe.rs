//! The API description of the catalog.

use common::{
    http::openapi::{Description, schema},
    wire::catalog::{Product, ProductPage},
};

use crate::participant::describe;

pub(super) const ABOUT: &str =
    "What can be bought. It is read by the saga and never refuses, so there is nothing to undo.";

pub(super) fn random() -> Description {
    Description::new("chooseProduct", "Any product that can be bought")
        .detail("A uniform choice among active products with stock. Where there is none, exactly one is made.")
        .answer::<Product>(200, "The product.")
}

pub(super) fn by_id() -> Description {
    Description::new("showProduct", "A product")
        .path("product_id", schema::whole_number(1..=i64::MAX), "Its id.")
        .answer::<Product>(200, "The product.")
        .problem(404, "There is no such product, or it is not active: `type` is `product-not-found`.")
}

pub(super) fn list() -> Description {
    let description = Description::new("listProducts", "The products, by id, in parts");
    describe::page(description).answer::<ProductPage>(200, "A part of the list.")
}
