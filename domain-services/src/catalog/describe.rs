//! The API description of the catalog.

use common::{
    http::openapi::{Description, schema},
    wire::catalog::{Product, ProductPage},
};

use crate::participant::describe;

pub(super) const ABOUT: &str =
    "The products for sale. Sagas only read them, and the catalog never refuses, so there is nothing to undo.";

pub(super) fn random() -> Description {
    Description::new("chooseProduct", "A random product for sale")
        .detail("A uniform choice among active products with stock. If there are none, exactly one is created.")
        .answer::<Product>(200, "The product.")
}

pub(super) fn by_id() -> Description {
    Description::new("showProduct", "A product")
        .path("product_id", schema::whole_number(1..=i64::MAX), "The product id.")
        .answer::<Product>(200, "The product.")
        .problem(404, "No active product has this id: `type` is `product-not-found`.")
}

pub(super) fn list() -> Description {
    let description = Description::new("listProducts", "The products by id, in pages");
    describe::page(description).answer::<ProductPage>(200, "A page of the list.")
}
