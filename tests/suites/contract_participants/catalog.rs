//! The catalog (contract, section 2.1).

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tests::{PATIENCE, Stack, StackOptions, assert_shape, problem::assert_problem, wait_until, with_stack};

fn product_shape() -> Value {
    json!({
        "product_id": "<integer>", "name": "<text>", "description": "<any>", "price": "<text>",
        "category": "<text>", "stock": "<integer>",
    })
}

async fn random(stack: &Stack) -> Value {
    stack.get("catalog", "/products/random/").await.expect(200).json()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_catalog_has_twenty_products_and_gives_each_of_them_at_random() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let mut seen = BTreeSet::new();
        // Uniform among twenty: 1,000 draws miss one of them with a probability below 1e-20.
        for _ in 0..1_000 {
            let product = random(stack).await;
            assert_shape(&product, &product_shape());
            let price = product["price"].as_str().unwrap().split_once('.').unwrap().1.len();
            assert_eq!(price, 2, "{product}");
            seen.insert(product["product_id"].as_i64().unwrap());
        }
        assert_eq!(seen, (1..=20).collect());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_is_shown_by_its_id_and_only_an_unknown_or_inactive_one_is_not_found() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        for path in ["/products/7/", "/products/7"] {
            let product = stack.get("catalog", path).await.expect(200).json();
            assert_shape(&product, &product_shape());
            assert_eq!(product["product_id"], 7);
        }
        let products = stack.database("catalog").await;
        products.run("update products set is_active = false where id = 8").await;
        // Memory lags by up to one refresh.
        wait_until("the catalog knows that product 8 is inactive", PATIENCE, async || {
            (stack.get("catalog", "/products/8/").await.status == 404).then_some(())
        })
        .await;
        for unknown in ["8", "77", "0", "99999999999999999999", "seven"] {
            let answer = stack.get("catalog", &format!("/products/{unknown}/")).await;
            assert_problem(&answer, 404);
            assert_eq!(answer.json()["type"], "product-not-found");
            assert_eq!(answer.json()["detail"], format!("Product {unknown} not found"));
        }
        // A new product is found at once: "not found" must be true.
        products.run("insert into products (id, name, price) values (500, 'New', 1)").await;
        let new = stack.get("catalog", "/products/500/").await.expect(200).json();
        assert_eq!((&new["price"], &new["category"]), (&json!("1.00"), &json!("General")));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_active_products_with_stock_are_given_at_random() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let products = stack.database("catalog").await;
        products.run("update products set is_active = id <= 3, stock = case id when 2 then 0 else 5 end").await;
        wait_until("the catalog has read the change", PATIENCE, async || {
            (stack.get("catalog", "/products/4/").await.status == 404).then_some(())
        })
        .await;
        let mut seen = BTreeSet::new();
        for _ in 0..100 {
            seen.insert(random(stack).await["product_id"].as_i64().unwrap());
        }
        assert_eq!(seen, BTreeSet::from([1, 3]));
        assert_eq!(stack.get("catalog", "/products/2/").await.expect(200).json()["stock"], 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_can_be_bought_a_product_is_made() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let products = stack.database("catalog").await;
        products.run("delete from products").await;
        wait_until("the catalog knows that it is empty", PATIENCE, async || {
            (stack.get("catalog", "/products/1/").await.status == 404).then_some(())
        })
        .await;
        let made = random(stack).await;
        let name = made["name"].as_str().unwrap();
        let number = name.strip_prefix("Product-").unwrap_or_default();
        assert!(number.len() == 4 && number.bytes().all(|byte| byte.is_ascii_digit()), "{made}");
        let price: f64 = made["price"].as_str().unwrap().parse().unwrap();
        assert!((10.0..=500.0).contains(&price), "{made}");
        assert!((10..=100).contains(&made["stock"].as_i64().unwrap()), "{made}");
        let categories = ["Electronics", "Clothing", "Books", "Food", "Toys"];
        assert!(categories.contains(&made["category"].as_str().unwrap()), "{made}");
        assert_eq!(random(stack).await["product_id"], made["product_id"]);
        assert_eq!(products.number("select count(*) from products", &[]).await, 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_comes_in_parts() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let all = stack.get("catalog", "/products/").await.expect(200).json();
        assert_eq!((all["products"].as_array().unwrap().len(), &all["next_cursor"]), (20, &Value::Null));
        let mut ids = Vec::new();
        let mut path = "/products/?limit=8".to_owned();
        loop {
            let part = stack.get("catalog", &path).await.expect(200).json();
            for product in part["products"].as_array().unwrap() {
                assert_shape(product, &product_shape());
                ids.push(product["product_id"].as_i64().unwrap());
            }
            let Some(cursor) = part["next_cursor"].as_str() else {
                break;
            };
            path = format!("/products/?limit=8&cursor={cursor}");
        }
        assert_eq!(ids, (1..=20).collect::<Vec<_>>());
    })
    .await;
}
