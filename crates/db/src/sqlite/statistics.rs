//! The statistics for SQLite's planner. They describe how large the tables can become, not what they contain.
//!
//! Without statistics, SQLite expects ten rows for each value of an index's first column, and hardly fewer for each further
//! column. Since every index begins with the account, it would then read all rows of an account instead of one. Statistics
//! of ANALYZE from when a table was small have the same effect later. So the program writes its own statistics, by one rule
//! for all tables: a value of an index's first column can have all rows, and each further column narrows that to a
//! hundredth.
//! <https://www.sqlite.org/fileformat2.html#the_sqlite_stat1_table>
//!
//! Invariant: the plan of a statement depends on the schema only.

use super::explain;
use crate::Error;
use rusqlite::Connection;

/// The assumed number of rows of a table.
const ALL: u64 = 1_000_000;
/// By how much one more column narrows a search.
const NARROWER: u64 = 100;

/// Each index with its table, whether it is unique, and how many columns it has. In the statistics, the primary key of a
/// table without row ids has the table's name.
const INDICES: &str = "SELECT t.name, CASE WHEN t.wr AND i.origin = 'pk' THEN t.name ELSE i.name END AS idx, i.\"unique\",
        (SELECT COUNT(*) FROM pragma_index_info(i.name))
    FROM pragma_table_list AS t JOIN pragma_index_list(t.name) AS i
    WHERE t.schema = 'main' AND t.type = 'table' AND t.name NOT LIKE 'sqlite_%' ORDER BY t.name, idx";
const KNOWN: &str = "SELECT tbl, idx, stat FROM sqlite_stat1 ORDER BY tbl, idx";

/// A row of `sqlite_stat1`: table, index, and the statistic.
type Statistic = (String, String, String);

/// Writes the statistics if the database does not have them. Returns whether it did. Needs a write transaction.
pub(crate) fn ensure(connection: &Connection) -> Result<bool, Error> {
    let wanted = wanted(connection).map_err(explain)?;
    if known(connection).map_err(explain)? == wanted {
        return Ok(false);
    }
    write(connection, &wanted).map_err(explain)?;
    Ok(true)
}

fn wanted(connection: &Connection) -> rusqlite::Result<Vec<Statistic>> {
    let mut statement = connection.prepare(INDICES)?;
    let rows = statement.query_map([], |row| {
        let (table, index) = (row.get(0)?, row.get(1)?);
        Ok((table, index, statistic(row.get(2)?, row.get(3)?)))
    })?;
    rows.collect()
}

/// As in `1000000 1000000 10000 1 noskipscan`: the number of all rows, then that of the rows for one value of the first
/// column, of the first two columns, and so on.
fn statistic(unique: bool, columns: u32) -> String {
    let mut numbers = vec![ALL.to_string()];
    for column in 0..columns {
        let whole = unique && column + 1 == columns;
        let rows = ALL / NARROWER.pow(column);
        numbers.push(if whole { 1 } else { rows.max(2) }.to_string());
    }
    // Otherwise SQLite would skip through the few accounts and inboxes that these numbers suggest.
    numbers.push("noskipscan".to_owned());
    numbers.join(" ")
}

fn known(connection: &Connection) -> rusqlite::Result<Vec<Statistic>> {
    if !has_table(connection, "sqlite_stat1")? {
        return Ok(Vec::new());
    }
    let mut statement = connection.prepare(KNOWN)?;
    let rows = statement.query_map([], |row| {
        // ANALYZE writes NULL if a table has no index.
        let index: Option<String> = row.get(1)?;
        Ok((row.get(0)?, index.unwrap_or_default(), row.get(2)?))
    })?;
    rows.collect()
}

fn write(connection: &Connection, wanted: &[Statistic]) -> rusqlite::Result<()> {
    // Creates the tables of statistics if they do not exist.
    connection.execute_batch("ANALYZE sqlite_schema; DELETE FROM sqlite_stat1")?;
    if has_table(connection, "sqlite_stat4")? {
        connection.execute_batch("DELETE FROM sqlite_stat4")?;
    }
    let mut insert = connection.prepare("INSERT INTO sqlite_stat1 VALUES ($1, $2, $3)")?;
    for (table, index, statistic) in wanted {
        insert.execute((table, index, statistic))?;
    }
    // Makes this connection read them.
    connection.execute_batch("ANALYZE sqlite_schema")
}

fn has_table(connection: &Connection, name: &str) -> rusqlite::Result<bool> {
    let there = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = $1)";
    connection.query_row(there, [name], |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database() -> Connection {
        let connection = Connection::open_in_memory().expect("memory");
        let made = connection.execute_batch(
            "CREATE TABLE orders (account TEXT, id TEXT, shop TEXT, buyer TEXT, PRIMARY KEY (account, id),
                UNIQUE (account, shop, buyer)) WITHOUT ROWID;
             CREATE INDEX orders_by_buyer ON orders (account, buyer);
             CREATE TABLE lines (account TEXT, number INTEGER, UNIQUE (account, number));
             CREATE TABLE notes (text TEXT)",
        );
        made.expect("tables");
        connection
    }

    fn plan(connection: &Connection) -> String {
        let statement = "EXPLAIN QUERY PLAN SELECT 1 FROM orders WHERE account = 'a' AND buyer = 'b' AND shop <> 'c'";
        let step = connection.query_row(statement, [], |row| row.get("detail"));
        step.expect("a plan")
    }

    #[test]
    fn an_index_that_leads_further_is_taken() {
        let connection = database();
        assert!(plan(&connection).ends_with("(account=?)"));
        assert!(ensure(&connection).expect("written"));
        assert!(plan(&connection).contains("orders_by_buyer (account=? AND buyer=?)"));
        let found = known(&connection).expect("a table");
        let stats: Vec<_> = found
            .iter()
            .map(|(_, idx, stat)| format!("{idx}: {stat}"))
            .collect();
        assert_eq!(
            stats,
            [
                "sqlite_autoindex_lines_1: 1000000 1000000 1 noskipscan",
                "orders: 1000000 1000000 1 noskipscan",
                "orders_by_buyer: 1000000 1000000 10000 noskipscan",
                "sqlite_autoindex_orders_2: 1000000 1000000 10000 1 noskipscan",
            ]
        );
    }

    #[test]
    fn what_analyze_found_does_not_stay() {
        let connection = database();
        ensure(&connection).expect("written");
        let one = "INSERT INTO orders VALUES ('a', 'b', 'c', 'd'); INSERT INTO notes VALUES ('x'); ANALYZE";
        connection.execute_batch(one).expect("analysed");
        assert!(ensure(&connection).expect("written"));
        assert!(!ensure(&connection).expect("read"), "nothing new");
        assert!(plan(&connection).contains("orders_by_buyer (account=? AND buyer=?)"));
    }
}
