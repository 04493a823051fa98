//! What clients ask the catalog in words that cannot be planned, and that have others with the same answer. Found in the text of a statement, so that
//! each stands for one version of a client; what can be said of all of them stands in `dialect` and `absent`.

use std::borrow::Cow;

/// How a driver of Java asks for primary keys (`getPrimaryKeys`): by a function whose rows have fields of their own.
const PRIMARY_KEYS: [&str; 2] = ["information_schema._pg_expandarray", "PK_NAME"];
const NO_KEYS: &str = "SELECT CAST(NULL AS TEXT) AS table_cat, CAST(NULL AS TEXT) AS table_schem, CAST(NULL AS TEXT) AS table_name, \
    CAST(NULL AS TEXT) AS column_name, CAST(NULL AS SMALLINT) AS key_seq, CAST(NULL AS TEXT) AS pk_name WHERE false";

/// Parts of statements, all of drivers of Java, and what stands for them.
const PARTS: [(&str, &str); 5] = [
    // How many columns a key may have (`getImportedKeys`): the settings of PostgreSQL itself are none of ours.
    (
        "SELECT setting FROM pg_catalog.pg_settings WHERE name='max_index_keys'",
        "SELECT '32' AS setting",
    ),
    // Whether a type is an array: the catalog has the names of functions, and no numbers.
    ("'pg_catalog.array_in'::regproc", "'array_in'"),
    ("'array_in'::regproc", "'array_in'"),
    // Columns without names (`getProcedures`).
    (
        "AS \"PROCEDURE_NAME\", NULL, NULL, NULL,",
        "AS \"PROCEDURE_NAME\", NULL AS reserved1, NULL AS reserved2, NULL AS reserved3,",
    ),
    // Who may what with a table (`getTablePrivileges`): what its owner may.
    ("r.rolname,c.relacl", "r.rolname,CAST(NULL AS TEXT) AS relacl"),
];

/// The text that is planned for a statement.
pub fn said(sql: &str) -> Cow<'_, str> {
    if PRIMARY_KEYS.iter().all(|part| sql.contains(part)) {
        return NO_KEYS.into();
    }
    let mut text = Cow::Borrowed(sql);
    for (part, other) in PARTS {
        if text.contains(part) {
            text = text.replace(part, other).into();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_of_people_stay_as_they_are() {
        let sql = "SELECT item FROM top_k('shop') WHERE region = 'eu'";
        assert!(matches!(said(sql), Cow::Borrowed(_)));
        let asked = "SELECT typinput='pg_catalog.array_in'::regproc as is_array FROM pg_type";
        assert_eq!(said(asked), "SELECT typinput='array_in' as is_array FROM pg_type");
    }
}
