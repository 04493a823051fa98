import java.math.BigDecimal;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Timestamp;
import java.time.Instant;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;

/**
 * Asks the query service by the JDBC driver of PostgreSQL, as dashboards in Java do.
 *
 * <p>java -cp postgresql.jar Check.java PORT KEY
 *
 * <p>The rows behind it are those of crates/postgres/tests/postgres.rs. Every check has the name of what it promises.
 */
public class Check {
    private static final Instant NOON = Instant.parse("2026-01-31T12:00:00Z");

    private interface Test {
        void run(Connection c) throws Exception;
    }

    private interface Rows {
        ResultSet get() throws SQLException;
    }

    private static String url;
    private static final Properties LOGIN = new Properties();
    private static int failed;

    public static void main(String[] arguments) throws Exception {
        url = "jdbc:postgresql://127.0.0.1:" + arguments[0] + "/hitters";
        LOGIN.setProperty("user", "anybody");
        LOGIN.setProperty("password", arguments[1]);
        check("a statement that is prepared on the server answers the same in binary", Check::prepared);
        check("parameters of all types are taken", Check::parameters);
        check("rows are fetched in parts", Check::fetched);
        check("columns say their types", Check::types);
        check("tables and columns are found", Check::tables);
        check("everything else that a driver asks the catalog has an answer", Check::catalog);
        check("errors have a state, and the connection lives on", Check::errors);
        System.exit(failed == 0 ? 0 : 1);
    }

    private static void check(String name, Test test) {
        try (Connection c = DriverManager.getConnection(url, LOGIN)) {
            test.run(c);
            System.err.println("ok " + name);
        } catch (Throwable error) {
            System.err.println("FAILED " + name);
            error.printStackTrace();
            failed++;
        }
    }

    private static void same(Object found, Object expected) {
        if (!found.equals(expected)) throw new AssertionError(found + ", not " + expected);
    }

    /** The rows as texts, with those columns. */
    private static List<String> rows(Rows rows, String... columns) throws SQLException {
        List<String> all = new ArrayList<>();
        try (ResultSet r = rows.get()) {
            while (r.next()) {
                List<String> row = new ArrayList<>();
                for (String column : columns) row.add(r.getString(column));
                all.add(String.join("|", row));
            }
        }
        return all;
    }

    /** From its fifth execution on a statement is prepared on the server, and its values come in binary. */
    private static void prepared(Connection c) throws Exception {
        String sql = "SELECT rank, item, count, share, certain, window_end FROM top_k(?, ?, k => ?) WHERE region = ?";
        try (PreparedStatement s = c.prepareStatement(sql)) {
            for (int time = 0; time < 8; time++) {
                s.setString(1, "shop");
                s.setString(2, "3m");
                s.setInt(3, 1);
                s.setString(4, "eu");
                try (ResultSet r = s.executeQuery()) {
                    same(r.next(), true);
                    same(r.getLong(1) + r.getString(2) + r.getLong(3) + r.getBoolean(5), "1a13true");
                    same(Math.round(r.getDouble(4) * 1000), Math.round(13000.0 / 24));
                    same(r.getTimestamp(6).toInstant(), NOON.plusSeconds(180));
                    same(r.getObject(6, OffsetDateTime.class).toInstant(), NOON.plusSeconds(180));
                    same(r.next(), false);
                }
            }
        }
    }

    private static void parameters(Connection c) throws Exception {
        String history = "SELECT sum(count) AS whole FROM item_history('shop', 'b', '3m', '1m') WHERE time >= ? AND time < ?";
        try (PreparedStatement s = c.prepareStatement(history)) {
            s.setObject(1, OffsetDateTime.parse("2026-01-31T12:00:00Z"));
            s.setTimestamp(2, Timestamp.from(NOON.plusSeconds(120)));
            for (int time = 0; time < 7; time++) same(rows(s::executeQuery, "whole"), List.of("2"));
        }
        String typed = "SELECT item FROM top_k('shop', '3m') WHERE share > ? AND count >= ? AND certain = ? AND item = ANY (?)";
        try (PreparedStatement s = c.prepareStatement(typed)) {
            s.setDouble(1, 0.3);
            s.setBigDecimal(2, new BigDecimal("3"));
            s.setBoolean(3, true);
            s.setArray(4, c.createArrayOf("text", new String[] {"a", "c"}));
            for (int time = 0; time < 7; time++) same(rows(s::executeQuery, "item"), List.of("a"));
        }
    }

    private static void fetched(Connection c) throws Exception {
        c.setReadOnly(true);
        c.setAutoCommit(false);
        String sql = "SELECT time, item, count FROM series('shop', k => 3, step => '1m', \"from\" => '2026-01-31T00:00:00Z', \"to\" => '2026-02-01T00:00:00Z')";
        try (Statement s = c.createStatement()) {
            s.setFetchSize(100);
            int count = 0;
            try (ResultSet r = s.executeQuery(sql)) {
                while (r.next()) count++;
            }
            same(count, 1440 * 4);
        }
        c.commit();
        c.setAutoCommit(true);
        try (Statement s = c.createStatement()) {
            s.setQueryTimeout(5);
            s.setMaxRows(2);
            same(rows(() -> s.executeQuery("SELECT * FROM \"public\".\"shop\" LIMIT 10000"), "item").size(), 2);
        }
    }

    private static void types(Connection c) throws Exception {
        try (PreparedStatement s = c.prepareStatement("SELECT rank, item, share, certain, window_end FROM top_k(?, ?)")) {
            var about = s.getMetaData();
            List<String> types = new ArrayList<>();
            for (int at = 1; at <= about.getColumnCount(); at++) types.add(about.getColumnName(at) + " " + about.getColumnTypeName(at));
            same(types, List.of("rank int8", "item text", "share float8", "certain bool", "window_end timestamptz"));
            same(s.getParameterMetaData().getParameterCount(), 2);
        }
    }

    private static void tables(Connection c) throws Exception {
        DatabaseMetaData about = c.getMetaData();
        same(rows(about::getSchemas, "TABLE_SCHEM"), List.of("pg_catalog", "public"));
        String[] kinds = {"TABLE", "PARTITIONED TABLE", "VIEW", "FOREIGN TABLE", "MATERIALIZED VIEW"};
        List<String> tables = rows(() -> about.getTables(null, "public", "%", kinds), "TABLE_NAME", "TABLE_TYPE");
        same(tables, List.of("cdn|TABLE", "pipelines|TABLE", "shop|TABLE"));
        List<String> columns = rows(() -> about.getColumns(null, "public", "shop", "%"), "COLUMN_NAME", "TYPE_NAME", "IS_NULLABLE");
        same(columns.subList(0, 3), List.of("rank|int8|YES", "item|text|YES", "count|int8|YES"));
        same(columns.contains("window_end|timestamptz|YES") && columns.contains("region|text|YES"), true);
    }

    private static void catalog(Connection c) throws Exception {
        DatabaseMetaData about = c.getMetaData();
        same(about.getDatabaseMajorVersion(), 16);
        same(c.isValid(5), true);
        List<Rows> none = List.of(
            () -> about.getPrimaryKeys(null, "public", "shop"),
            () -> about.getImportedKeys(null, "public", "shop"),
            () -> about.getExportedKeys(null, "public", "shop"),
            () -> about.getCrossReference(null, "public", "shop", null, "public", "cdn"),
            () -> about.getIndexInfo(null, "public", "shop", false, true),
            () -> about.getBestRowIdentifier(null, "public", "shop", DatabaseMetaData.bestRowSession, true),
            () -> about.getProcedures(null, "public", "%"),
            () -> about.getFunctions(null, "public", "%"),
            () -> about.getUDTs(null, "public", "%", null));
        for (Rows question : none) {
            try (ResultSet r = question.get()) {
                same(r.next(), false);
            }
        }
        List<Rows> some = List.of(
            about::getCatalogs,
            about::getTableTypes,
            about::getTypeInfo,
            () -> about.getVersionColumns(null, "public", "shop"));
        for (Rows question : some) {
            try (ResultSet r = question.get()) {
                same(r.next(), true);
            }
        }
        about.getTablePrivileges(null, "public", "%").close();
        about.getColumnPrivileges(null, "public", "shop", "%").close();
        about.getSQLKeywords();
    }

    private static void errors(Connection c) throws Exception {
        try (Statement s = c.createStatement()) {
            for (String[] wrong : new String[][] {
                {"SELECT * FROM top_k('none')", "42P01"}, {"SELECT * FROM top_k('shop', k => 0)", "22023"}, {"DROP TABLE shop", "25006"}
            }) {
                try {
                    s.executeQuery(wrong[0]);
                    throw new AssertionError(wrong[0] + " should be refused");
                } catch (SQLException error) {
                    same(error.getSQLState(), wrong[1]);
                }
            }
            same(rows(() -> s.executeQuery("SELECT item FROM top_k('shop', k => 1)"), "item"), List.of("b"));
        }
    }
}
