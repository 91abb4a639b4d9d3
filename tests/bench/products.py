"""Sagas a second with one product for all purchases, against ten thousand products."""

import measure
import report

PRODUCTS = 10_000
CONNECTIONS = 256

# The catalog starts with some products; a purchase may name a product without stock in the catalog.
FILL = """insert into products (name, description, price) select 'Product ' || n, '', 9.99
          from generate_series(1, {wanted} - (select count(*) from products)) n"""


def run(bench):
    runs = {"one product": [], "many products": []}
    for _ in range(bench.runs):
        for name, products in [("one product", 1), ("many products", PRODUCTS)]:
            with bench.system() as system:
                bench.postgres.sql(FILL.format(wanted=PRODUCTS), "ms_catalog")
                # The warm-up is longer than the catalog's refresh interval.
                measure.warm_up(bench, system, products=products)
                runs[name].append(measure.sagas(bench, system, CONNECTIONS, products=products))
                print(report.line(name, runs[name][-1]), flush=True)
    return measure.pairs(runs, "one product", "many products")
