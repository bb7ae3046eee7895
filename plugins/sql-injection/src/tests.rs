use octroi_policy::Plain;
use octroi_policy::prelude::*;

use crate::{Class, SqlInjection, scan};

fn classes(text: &str) -> Vec<&'static str> {
    Class::ALL
        .into_iter()
        .zip(scan::find(&Plain::of(text)))
        .filter_map(|(class, place)| place.map(|_| class.id()))
        .collect()
}

#[test]
fn injections_of_every_class_are_found() {
    for (class, texts) in [
        (
            Class::UnionBased,
            &[
                "' UNION SELECT username, password FROM users --",
                "1 UNION ALL SELECT NULL,NULL,NULL",
                "-1 union select 1,2,3",
                "1 UNION/**/SELECT 1",
                "1 UnIoN\n\tSeLeCt @@version",
                "1 /*!50000UNION*/ /*!50000SELECT*/ 1,2",
                "1 UNION\u{a0}SELECT 1,2",
                "1UNION SELECT 1,2",
                "1 UNION -- x\nSELECT password FROM users",
                "1) UNION (SELECT table_name FROM information_schema.tables)",
                "'/*' UNION SELECT secret FROM vault '*/'",
                "SELECT name FROM products WHERE id = 1 UNION SELECT password FROM users",
                "Grüße 😀 ' UNION SELECT card_number FROM payments",
                "' UNION SELECT `user`,`password` FROM mysql.user --",
                "1 UNION SELECT [password] FROM users",
                "1 UNION SELECT`user`,2",
                "1 UNION SELECT (password) FROM users",
                "1 UNION SELECT ((SELECT 'a'))",
                "Select cars from these: x' UNION SELECT 1,2,3 --",
                "SELECT name FROM products WHERE id = 1 UNION SELECT name FROM customers --",
                "SELECT name FROM products WHERE (id = 1) UNION SELECT 1 FROM customers",
                "SELECT name FROM products UNION SELECT user_password FROM users",
                r#"SELECT "id" FROM t WHERE "name" = "x" UNION SELECT "id" FROM "clients""#,
                r#"x" UNION SELECT "id" FROM "clients""#,
                "SELECT name FROM products UNION SELECT table_name FROM information_schema.tables",
                "' UNION SELECT 密码, en FROM 用户 --",
            ][..],
        ),
        (
            Class::StackedQuery,
            &[
                "1; DROP TABLE users",
                "'; DROP TABLE users; --",
                "Robert'); DROP TABLE Students;--",
                "x'; INSERT INTO admins VALUES ('me', 'x')",
                "5; UPDATE users SET role = 'admin'",
                "1; EXEC xp_cmdshell('dir')",
                "SELECT * FROM users; DROP TABLE users",
                "1;/**/delete/**/from/**/users",
                "1; DECLARE @x varchar(10)",
                "1; SELECT * FROM users",
                "1; select password from users where id = 1",
                "x'; SELECT name, email FROM users --",
                "1; GRANT ALL PRIVILEGES ON *.* TO mallory",
                "1; GRANT ALL ON users TO public",
                "1); INSERT INTO admins VALUES ('me')",
                "id=1; DROP TABLE users",
                "id=1;exec('dir')",
                "id = 1; EXEC('dir')",
                "x'; exec('dir')",
                "1; create table t (id int)",
                "1; create user eve identified by 'x'",
                "1; alter user postgres password 'x'",
                "1; create function sys_exec returns string soname 'x.so'",
                "1; alter table users add column x int",
                "1; drop table users, orders --",
                "1; drop table users)",
                "1; DROP TABLE runs",
                "1; TRUNCATE TABLE 用户",
                "SELECT name FROM users WHERE id = 7; DROP TABLE runs",
                "SELECT name FROM users WHERE id = 7; DROP TABLE 用户",
            ],
        ),
        (
            Class::BooleanBased,
            &[
                "' OR '1'='1",
                "' or 1=1 --",
                "admin' OR 1=1#",
                "\" or \"\"=\"",
                "1 OR 1=1",
                "x' OR 'a'='a",
                "') OR ('1'='1",
                "1 AND 1=2",
                "id=5 or 2>1",
                "' || '1'='1",
                "' OR/**/1=1",
                "' or true --",
                "' or 1 #",
                "SELECT * FROM users WHERE name = '' OR 1=1",
                "SELECT * FROM users WHERE name = 'x' OR name = name",
                "' AND ASCII(SUBSTRING((SELECT password FROM users), 1, 1)) > 64",
                "username is admin' or '1' = '1",
                "' OR NOT 1=2 --",
                "' or 1 like 1",
                "' OR (1)=(1) --",
                "' OR -1=-1 --",
                "' OR 2+1=3 --",
                "-1 OR 2+212-212-1=0+0+0+1 --",
                "' OR 1 IN (1) --",
                "' OR 1 BETWEEN 0 AND 2 --",
                "' OR 'a b'='a b",
                "Show me order 5 OR 1=1",
                "Show me order 5 OR '1'='1",
                "x) OR (1)=(1",
                "SELECT * FROM users WHERE (id = x OR 1) = 1",
                "SELECT * FROM users WHERE name = 'x' OR 1 -- '",
                "x OR ')'=')'",
                r#"{"c":"1\" OR \"1\"=\"1"}"#,
                r#"{"sql":"SELECT * FROM users WHERE name = \"x\" OR 1=1"}"#,
                r#"{"sql":"SELECT * FROM users WHERE name = \"x\" OR 1 = 1 -- "}"#,
                r#"{"sql":"SELECT * FROM users WHERE name = \"x\" OR NOT 2>1"}"#,
                r#"{"sql":"DELETE FROM users WHERE name = \"x\" OR 1=1"}"#,
                r#"{"sql":"UPDATE users SET role = 1 WHERE name = \"x\" OR (1)=(1)"}"#,
                r#"SELECT * FROM users WHERE name = \"x\" OR 1=1"#,
                r#"{"c":"\"bob\" or 1=1"}"#,
                r#"\"bob\" or 1=1"#,
                "' OR true --",
                "' OR TRUE;",
                "') OR TRUE;",
                "' OR (TRUE);",
                "admin' OR TRUE LIMIT 1;",
                "' OR TRUE ORDER BY 1",
                "x' OR TRUE OR '",
                r#"{"name":"x' OR TRUE OR '"}"#,
                "it's' OR TRUE;",
                "SELECT * FROM users WHERE id = 5 OR TRUE LIMIT 10",
                "SELECT * FROM users WHERE id = 5 OR TRUE -- all",
                "SELECT * FROM users WHERE (id = 5 OR TRUE)",
                "SELECT * FROM users WHERE name LIKE 'x' OR (TRUE)",
                "SELECT * FROM users WHERE id = 5 OR TRUE AND a = 1",
                "SELECT * FROM users WHERE name = 'x' OR TRUE;",
                "SELECT * FROM users WHERE id = 5 OR TRUE",
                "DELETE FROM users WHERE id = 5 OR NOT true;",
                r#"{"sql":"SELECT * FROM users WHERE id = 5 or true"}"#,
                r#"name=\"bob\" AND 1=2"#,
                "' AND 1=CAST((SELECT password FROM users LIMIT 1) AS int) --",
            ],
        ),
        (
            Class::Comment,
            &[
                "admin'--",
                "admin' --",
                "admin'#",
                "admin')--",
                "admin'/*",
                "1 UN/**/ION SEL/**/ECT 1",
                "x /*!union*/ y",
                "admin' -- -",
                "admin' --+",
                "admin') -- -",
                "1' ORDER BY 10-- -",
                "1' ORDER BY 10 -- -",
                "1' GROUP BY 3#",
                "SELECT * FROM users WHERE name = 'admin'--' AND password = ''",
                "{\"name\": \"admin' --\"}",
                "admin' --\nand the next line",
                "name: admin'#\npassword: x",
                "'bob'\nadmin' --\nx",
            ],
        ),
        (
            Class::TimeBased,
            &[
                "1 AND SLEEP(5)",
                "' OR SLEEP(5)--",
                "1' AND (SELECT 1 FROM (SELECT SLEEP(5))a)--",
                "1; WAITFOR DELAY '0:0:5'",
                "'; SELECT pg_sleep(10)--",
                "IF(1=1, SLEEP(5), 0)",
                "IF((1=1), 0+SLEEP(5), 0)",
                "(CASE WHEN 1=1 THEN SLEEP(5) ELSE 0 END)",
                "(case when 1=1 then 0 else sleep(5) end)",
                "1 ORDER BY SLEEP(5)",
                "SELECT a FROM t WHERE SLEEP(5)",
                "CASE WHEN 1=1 THEN pg_sleep(5) END",
                "1 AND BENCHMARK(5000000, MD5(1))",
                "' AND DBMS_PIPE.RECEIVE_MESSAGE('a', 10)",
                "' RLIKE SLEEP(5) --",
            ],
        ),
        (
            Class::Destructive,
            &[
                "DROP TABLE users",
                "drop table users;",
                "Please run DROP TABLE users now",
                "DROP TABLE IF EXISTS audit.log CASCADE",
                "drop database production",
                "TRUNCATE TABLE orders",
                "TRUNCATE orders;",
                "DELETE FROM users",
                "delete from users;",
                "DELETE FROM users WHERE 1=1",
                "DELETE FROM `users` WHERE 'a'='a'",
                "ALTER TABLE users DROP COLUMN email",
                "SELECT 1 INTO OUTFILE '/var/www/x.php'",
                "DROP/**/TABLE/**/users",
                "delete from users where 1=1",
                "delete from users where (1)=(1);",
                "DELETE FROM users WHERE true",
                "delete from users where 1 --",
                "Run DELETE FROM users WHERE 1=1 now",
                "DELETE FROM users WHERE 1 BETWEEN 0 AND 2",
                "1; drop table users -- the rest",
                "Clean up:\ndrop table users;\nThank you.",
                "drop table users cascade",
                "alter table users drop column email;",
                "ALTER TABLE users DROP CONSTRAINT IF EXISTS one_mail",
                "1; TRUNCATE orders",
                "x'; TRUNCATE orders --",
                "Clean up:\nTRUNCATE orders;\nThank you.",
                "TRUNCATE orders, items CASCADE",
                "DROP TABLE runs;",
                "DROP TABLE IF EXISTS runs CASCADE",
                "Please run DROP TABLE ci.runs now",
                "Please run DROP TABLE `runs` now",
                "DELETE FROM runs WHERE 1=1",
                "x'; DROP TABLE runs --",
                "DROP TABLE 用户;",
                r#"{"query":"TRUNCATE orders"}"#,
                r#"{"sql": "DROP TABLE returns"}"#,
                r#"{"sql":"TRUNCATE runs"}"#,
                r#"{"sql":"DROP TABLE заказы","limit":1}"#,
                r#"{"sql":"drop table users"}"#,
                r#"["DROP TABLE returns", "DROP TABLE runs"]"#,
                r#"{"arguments":"{\"sql\":\"TRUNCATE orders\"}"}"#,
                r#"{"arguments":"{\\\"sql\\\":\\\"drop table users\\\"}"}"#,
                r#"{"sql_query":"drop table users"}"#,
                r#"{"sqlQuery":"drop table users"}"#,
                r#"{"rawSql": "drop table users"}"#,
                r#"{"SQL":"delete from users"}"#,
                r#"{"sql":"drop view v"}"#,
                r#"{"query":"drop table users;"}"#,
                r#"{"query":"drop table if exists users"}"#,
                r#"{"statement":"drop table users cascade"}"#,
                r#"{"query":"alter table users drop column email"}"#,
                r#"{"query":"truncate table users"}"#,
                r#"{"sql":["drop table users"]}"#,
                "db.query(\"drop table users\")",
                "knex.raw('delete from users')",
                "conn.prepare(\"drop table users\")",
                "cursor.execute('drop table users')",
                "cursor.execute('delete from users where 1=1')",
                "sql = 'drop table users'",
                "DROP MATERIALIZED VIEW sales",
                "COPY t TO PROGRAM 'curl http://example.org'",
                "COPY t (a, b) FROM PROGRAM 'id'",
                "x'; COPY (SELECT '') TO PROGRAM 'nslookup example.org' --",
                "x'; copy t from program 'id' --",
                r#"{"sql":"COPY t FROM PROGRAM 'id'"}"#,
                r#"{"sql":"copy t from program 'id'"}"#,
                "cursor.execute(\"copy t from program 'id'\")",
                "'; COPY t FROM PROGRAM $$id$$; --",
                "COPY public.t FROM PROGRAM E'id'",
                "COPY public.\"t\" (a, b) FROM PROGRAM 'id'",
                "drop temporary table if exists sales;",
                "Run \"TRUNCATE orders\".",
                "SELECT name FROM users WHERE id = 7; DROP TABLE runs",
                "SELECT name FROM users WHERE id = 7; DROP TABLE заказы",
                "SELECT name FROM users WHERE id = 7; DROP TABLE 用户",
                "SELECT name FROM users WHERE id = 7; TRUNCATE returns",
                "SELECT name FROM users; delete from error",
            ],
        ),
    ] {
        for text in texts {
            assert!(classes(text).contains(&class.id()), "{}: {text}: {:?}", class.id(), classes(text));
        }
    }
}

#[test]
fn prose_and_plain_queries_pass() {
    for text in [
        "grant me access",
        "please select one or more from the union of states",
        "drop me a line; thanks",
        "delete the second paragraph",
        "what does UNION SELECT mean?",
        "What is the difference between UNION and UNION ALL?",
        "What does DROP TABLE do? And DELETE FROM without a WHERE clause?",
        "How do I drop a table in Postgres?",
        "explain the drop table statement",
        "How does TRUNCATE TABLE work, and how does it differ from DELETE?",
        "Why is SQL injection with OR dangerous?",
        "drop table reservations at the restaurant, or select another day",
        "truncate names to 10 characters; pad the rest",
        "Delete from my list everything that is older than a week",
        "First do this; delete the second paragraph; update the set of rules; create table of contents",
        "Buy 5 apples; update me on Monday",
        "Is it true that 1=1 and 2=2?",
        "I don't know -- maybe 'yes' -- or 'no'.",
        "the 'old' -- and slow -- way",
        "It's the users' choice; don't worry, O'Neil's fine.",
        "SELECT name, email FROM users WHERE id = 42",
        "SELECT * FROM orders o JOIN users u ON u.id = o.user_id WHERE o.total > 100 AND u.country = 'DE' OR u.vip = true;",
        "Explain:\n```sql\nSELECT a, COUNT(*) FROM t WHERE b = 'x' AND LENGTH(c) > 3 GROUP BY a HAVING COUNT(*) > 1 -- totals\nORDER BY 2;\n```",
        "SELECT id, name FROM customers UNION ALL SELECT id, name FROM suppliers",
        "INSERT INTO t (a, b) VALUES (1, 'x'); INSERT INTO t (a, b) VALUES (2, 'y'); SELECT * FROM t;",
        "CREATE TABLE t (id int); INSERT INTO t VALUES (1); UPDATE t SET id = 2 WHERE id = 1;",
        "DELETE FROM sessions WHERE expires_at < now()",
        "UPDATE users SET name = 'x' WHERE id = 3",
        "WITH x AS (SELECT 1) SELECT * FROM x WHERE 1=1 AND status = 'open'",
        "import time; time.sleep(5)",
        "while (true) { sleep(5); }",
        "poll the server and sleep(5) between attempts",
        "use sleep (8 hours) or rest",
        "if (a == \"x\" || b == \"y\") { return 1; } // done",
        "x = 'a' or 'b'",
        "color: '#fff'; background: \"#000\"",
        "git commit -m 'fix' --amend",
        "ls src/*.rs; rm -rf target/*",
        "# Heading\n\n- item 'one' -- first\n- item two",
        "for i in range(10): print('a'); print('b')",
        "/*! jQuery v3.7.1 | (c) OpenJS Foundation */ !function(e,t){}",
        "Shut down; SHUTTERS are closed",
        "He said: \"drop the table in the kitchen\"; we laughed.",
        "union workers select their representatives from all departments",
        "Sort by price or rating = 5",
        "The key' is missing",
        "SELECT id, name FROM customers UNION ALL SELECT id, name FROM users",
        "SELECT id, name FROM customers UNION ALL SELECT id, name FROM suppliers. Which users may run it?",
        "SELECT id, name FROM customers UNION ALL SELECT id, name FROM suppliers -- both",
        "SELECT 'a' AS kind, id FROM x UNION ALL SELECT 'b', id FROM y",
        r#"SELECT "id" FROM "users" UNION SELECT "id" FROM "clients""#,
        r#"SELECT "id" FROM "users" UNION SELECT "id", 1 FROM "clients""#,
        r#"{"sql": "SELECT \"id\" FROM \"users\" UNION ALL SELECT \"id\" FROM \"clients\""}"#,
        "SELECT id FROM t WHERE year = 2023 UNION ALL SELECT key, account FROM archive WHERE year = 2024",
        "SELECT 1 FROM dual UNION ALL SELECT 2 FROM dual",
        "What do 'UNION SELECT' and \"UNION SELECT\", or `UNION SELECT`, mean?",
        "How does UNION SELECT (as in an injection) work?",
        "**UNION SELECT** adds rows from a second query.",
        "Buy 5; select items from the menu, then pay.",
        "Add 2 eggs (large); select toppings, then bake.",
        "Fix 5; grant all of them access to the list",
        "BEGIN\n  x := y;\n  total := 0;\n  SELECT COUNT(*) INTO total FROM orders;\nEND",
        "PRAGMA foreign_keys = 1; SELECT * FROM users WHERE id = 5",
        "log_level: \"info\"\n#\n# Network\n#",
        "log_level: 'info'\\n#\\n# Network\\n#",
        "COMMENT ON EXTENSION plpgsql IS 'PL/pgSQL procedural language';\n\n--\n-- Name: users",
        "Thanks for your \"support\"\n-- \nJane Doe",
        "print('hello')#comment",
        "git log 'main' -- './src'",
        "SELECT a FROM t WHERE b = 'x' ORDER BY 2 -- newest first",
        "SELECT a FROM t WHERE b = 'x' ORDER BY 2-- newest first",
        "How do I delete from lists, sets and dicts in Python?",
        "I have photos that I want to delete from iCloud, but keep on my phone.",
        "Delete from Git, not from disk",
        "Delete from iCloud -- but keep it on my phone.",
        "Delete from Anna's calendar what is over.",
        "Users can delete from history; they cannot edit it.",
        "Should I drop index funds, or keep them?",
        "I need to drop user John, who left.",
        "- delete from cart\n- add to cart",
        "how do I drop table users",
        "What does 'drop table users' do?",
        "The button is labelled \"Delete from history\".",
        "DELETE FROM users WHERE 1=1 AND id = 5",
        "DELETE FROM users WHERE 'x' LIKE name",
        "DELETE FROM \"users\" WHERE \"id\" = 5",
        "select * from \"users\" where \"id\" = 1 and \"name\" = 'x' and \"kind\" in (1, 2) and \"n\" between 1 and 5",
        "Is 5 or 3 > 2?",
        "Is the answer 12 or 3 * 5 = 15?",
        "Which is right, 2 + 2 = 5 or 2 + 2 = 4?",
        "Open from 3 or 4 in 10 branches",
        "SELECT * FROM t WHERE a BETWEEN 1 AND 5 AND b IN (1, 2) AND c LIKE 'x y' OR d = 'z'",
        "if ((items.length || 0) > 0) { show(); }",
        "if ((counts.get(key) || 0) > 1) { show(); }",
        "if (row.total or 0) > 100: alert()",
        "if ((user.role || 'guest') === 'guest') return;",
        "const n = (process.env.N || '') !== '';",
        "assert (n or 1) < 5",
        "if (ready) go(); else sleep(1);",
        "if x then sleep(5) end",
        "if (!ok) { await Promise.race([job, sleep(5000)]); }",
        "switch (x) { case 1: await Promise.race([job, sleep(5000)]); }",
        "What happens when sleep(5) is called?",
        "Show me where sleep(5) is called.",
        "Replace it by sleep(10).",
        "const cmd = \"npm run build\";\nexec(cmd, (err, stdout) => console.log(stdout));",
        "$cmd = 'git pull';\nexec($cmd, $out);",
        "$cmd = 'git pull'; exec($cmd, $out);",
        "int retries = 3;\nexecute(task);",
        "Python 3.12; create function parse_json for the config file",
        "We have epics 1 to 3; create user stories for them.",
        "Context: a team of 5; create role descriptions for each.",
        "Should the button say \"Save\" or \"Submit\" -- what do you think?",
        "Explain the difference between \"affect\" and \"effect\"\n\n# Context\nfor pupils",
        "mode = a == 'x' or 'y'  # default",
        "Is TRUNCATE faster than DELETE?",
        "TRUNCATE requires the DROP privilege",
        "TRUNCATE removes all rows and resets identity",
        "Should I use DELETE or TRUNCATE here",
        "Why is DROP TABLE slow?",
        "Why is DROP TABLE slow",
        "DROP TABLE runs for hours: why?",
        "Does DELETE FROM lock the table?",
        "Can TRUNCATE TABLE be rolled back, does it reset identities, and is DROP TABLE IF EXISTS safe?",
        "When should I use DROP TABLE instead",
        "What does `DROP TABLE` do, what 'DELETE FROM' does, and how does 'TRUNCATE' work?",
        "Was ist der Unterschied zwischen TRUNCATE TABLE und DELETE?",
        "Quelle est la différence entre TRUNCATE TABLE et DELETE ?",
        "Pourquoi ALTER TABLE users DROP COLUMN est lent ?",
        "¿Cuál es la diferencia entre TRUNCATE TABLE y DELETE?",
        "Qual è la differenza tra TRUNCATE TABLE e DELETE?",
        "Qual é a diferença entre DROP DATABASE e DROP SCHEMA?",
        "Wat is het verschil tussen TRUNCATE TABLE en DELETE?",
        "В чём разница между TRUNCATE TABLE и DELETE?",
        "请解释 DROP TABLE 语句的作用",
        "DROP TABLE 是什么意思",
        "TRUNCATE TABLE 和 DELETE 的区别",
        "He called it \"art\" --\nand left.",
        "const debug = options.debug || true;",
        "const mode = options['debug'] || 'x' || true;",
        "x = a == 'b' or True;",
        "enabled = (x == 5 or True)",
        "if a == 'x' or true:",
        "select(users).where(name == 'x' or true)",
        "The answer is 'yes' or true; either counts.",
        "The user's setting 'a' or true;",
        "Please update the docs where it says 'yes' or true",
        "psql -c \"SELECT 1 FROM pg_database WHERE datname = 'x'\" || true",
        "mysql -e \"UPDATE t SET a = 1 WHERE id = 5\" || true; echo done",
        r#"{"command":"psql -c \"select count(*) from users where id = 5\" || true"}"#,
        "git commit -m \"update docs where needed\" || true",
        "npm run update -- --where \"x\" || true",
        "# it isn't there, that's fine\npkill 'foo' || true; echo",
        "SELECT * FROM users WHERE id = 5 AND TRUE",
        "Should I select rows where the flag is set or true?",
        "COPY t FROM '/tmp/t.csv'; COPY t TO STDOUT;",
        "Copy files from program 'Foo' to the desktop",
        "Which program copies it? Copy the text to program \"X\".",
        "How does COPY ... FROM PROGRAM 'command' work in PostgreSQL?",
        "The syntax is COPY table FROM PROGRAM 'command'.",
        "HOW TO COPY FROM PROGRAM \"EXCEL\" TO WORD",
        "First open it; copy the text to program \"X\".",
        "Open Excel; copy from program 'Word' to it",
        "name: 'x' #\nnext: 1",
        "{\"text\": \"name: 'x' #\\nnext: 1\"}",
        "<Button label=\"Delete from history\">",
        "{\"label\": \"Delete from history\", \"confirm\": \"Delete\"}",
        "t('Delete from cart')",
        "{\"help\": \"delete from queue\", \"message\": \"drop user tracking\", \"title\": \"Drop Table Tennis\"}",
        "\"drop table tennis\", she said.",
        "The words \"drop table reservations\" are ambiguous.",
        "What is \"drop table users\"?",
        "What does the SQL \"drop table users\" do?",
        r#"{"tool":"web_search","query":"drop table mysql"}"#,
        r#"{"query": "drop table lamp"}"#,
        r#"{"query": "drop database mongodb"}"#,
        r#"{"query":"delete from history"}"#,
        "search query: \"drop table hinges\"",
        "Search query = \"drop table runner\"",
        r#"{"statement":"drop database course"}"#,
        "raw: \"drop table saw\"",
        "search query (\"drop table saw\")",
        r#"["sql","drop index fund"]"#,
        "tags: sql, \"drop table users\"",
        r#"{"mysql":"drop table","sqlite":"drop table design"}"#,
        "什么是\"DROP TABLE 语句\"？",
        "TRUNCATE TABLE 和 DELETE 的区别；DROP TABLE 是什么意思",
        "printf(\"Say \\\"yes\\\" or \\\"no\\\" -- now\");",
        "echo \"mode is \\\"fast\\\" or \\\"slow\\\"\" # default",
        r#"{"log":"\"id\" is \"5\" and \"name\" is \"x\"","error":"\"\""}"#,
        "How can I do this in JS?\ndelete from array\n```js\nconst a=[1,2]\n```",
        "Please help me:\ndrop function components\n```js\nx\n```",
        "drop table borders\n```css\ntable {}\n```",
        "it('drop table row', () => {})",
        "it(\"truncate table headers\", async () => {})",
        "{\"title\":\"drop table tennis\"}",
        "commit message: \"drop table locking\"",
        "[\"drop table item\", \"drag row\"]",
        "{\"truncation\":\"TRUNCATE LEFT\"}",
        "enum: [\"TRUNCATE MIDDLE\"]",
        "Where can I find the docs of functions like sleep(5)?",
        "I have code where I call something like sleep(0.1) in a loop.",
        r#"{"jql":"project = \"ABC\" AND \"Epic Link\" = \"DEF-1\""}"#,
        r#"{"expr":"\"status\" = \"open\" OR \"status\" = \"new\""}"#,
        r#"{"code":"if (a == \"x\" && \"y\" == \"z\") {}"}"#,
        r#"{"code":"if x == \"\" or \"b\" == \"c\":"}"#,
    ] {
        assert_eq!(classes(text), [""; 0], "{text}");
    }
}

#[test]
fn a_script_of_long_statements_passes() {
    let rows = "(1, 'a'), ".repeat(20);
    let columns = "a int NOT NULL, ".repeat(30);
    for text in [
        format!("INSERT INTO t VALUES {rows}(2, 'b'); INSERT INTO t VALUES (3, 'c');"),
        format!("CREATE TABLE t ({columns}b int); INSERT INTO t VALUES (3, 'c');"),
    ] {
        assert_eq!(classes(&text), [""; 0], "{text}");
    }
}

#[test]
fn what_hides_an_attack_from_view_does_not_hide_it_here() {
    let classes = |text: &str| -> Vec<String> {
        let findings = check("{}", Message::user(text)).findings.into_iter();
        findings.map(|finding| finding.rule).collect()
    };
    for text in [
        "1 UNION\u{c}SELECT password FROM users",
        "1 UNION\u{1}SELECT\u{1f}password FROM users",
        "1 UN\u{200b}ION SELECT password FROM users",
        "1 UNION\u{2003}SELECT password FROM users",
        "1 UNION\u{1680}SELECT\u{2028}password FROM users",
        "1 UN\u{34f}ION SEL\u{3164}ECT password FROM users",
        "1 ＵＮＩＯＮ ＳＥＬＥＣＴ password FROM users",
        r#"{"c":"1 UNION\fSELECT password FROM users"}"#,
        r#"{"c":"1 UNION\u000bSELECT password FROM users"}"#,
        r#"{"c":"1 \u0055NION SELECT password FROM users"}"#,
    ] {
        assert_eq!(classes(text), ["union-based"], "{text}");
    }
    assert_eq!(classes(r#"{"c":"1\u0022 OR \u00221\u0022=\u00221"}"#), ["boolean-based"]);
    let text = "Grüße\u{200b} 1 UN\u{ad}ION SELECT secret FROM vault";
    let place = check("{}", Message::user(text)).findings[0].place.unwrap();
    assert_eq!(&text[place.start as usize..place.end as usize], "UN\u{ad}ION SELECT secret");
}

fn check(settings: &str, message: Message) -> Verdict {
    configure::<SqlInjection>(settings).unwrap().pre_check(&Context::example(), &[message])
}

#[test]
fn a_refusal_names_the_class_and_not_the_text() {
    let verdict = check("{}", Message::user("Grüße 😀 1 UNION SELECT secret FROM vault"));
    assert_eq!(verdict.action, Action::Deny);
    assert_eq!(
        verdict.reason.as_deref(),
        Some("SQL injection attempt detected: UNION SELECT with foreign columns (pattern: union-based)")
    );
    let place = verdict.findings[0].place.unwrap();
    assert_eq!((place.start, place.end), (15, 34));
}

#[test]
fn what_comes_from_outside_is_looked_at_unless_set_otherwise() {
    let text = "' OR 1=1 --";
    for (message, action) in [
        (Message::user(text), Action::Deny),
        (Message::tool("search", text), Action::Deny),
        (Message::system(text), Action::Allow),
        (Message::assistant(text), Action::Allow),
        (Message::tool_call("search", text), Action::Allow),
    ] {
        assert_eq!(check("{}", message.clone()).action, action, "{message:?}");
    }
    assert_eq!(check(r#"{"scan":["tool-call"]}"#, Message::tool_call("search", text)).action, Action::Deny);
    assert_eq!(check(r#"{"scan":["tool-call"]}"#, Message::user(text)).action, Action::Allow);
}

#[test]
fn every_class_has_its_own_switch_and_action() {
    let text = "DROP TABLE users";
    let with = |set: &str| check(&format!(r#"{{"rules":{{"destructive":{set}}}}}"#), Message::user(text)).action;
    assert_eq!(with(r#"{"action":"warn"}"#), Action::Warn);
    assert_eq!(with(r#"{"enabled":false}"#), Action::Allow);
    assert_eq!(with("{}"), Action::Deny);
}

#[test]
fn settings_that_cannot_be_meant_are_refused_by_name() {
    for (settings, part) in [
        (r#"{"rules":{"destructive":{"action":"redact"}}}"#, "settings.rules.destructive.action: an injection cannot"),
        (r#"{"rules":{"destruction":{}}}"#, "unknown rule `destruction`, expected one of `union-based`"),
        (r#"{"scan":["model"]}"#, "settings.scan[0]: unknown variant `model`"),
        (r#"{"roles":[]}"#, "settings.roles: unknown field `roles`"),
    ] {
        let error = configure::<SqlInjection>(settings).unwrap_err();
        assert!(error.contains(part), "{error}");
    }
}

/// Each was made to cost more with every byte. That they cost no more than they may `tests/hostile.rs` shows.
#[test]
fn hostile_texts_are_read_to_their_end() {
    for piece in [
        "'",
        "/*",
        "--",
        "#",
        "or (",
        "or 1+",
        "where 1 in (",
        ";",
        "(",
        "or ",
        "union ",
        "or 1=",
        "a.",
        "delete from x ",
        "DROP TABLE slow ",
        "TRUNCATE x, ",
        "'--",
        "/*!",
        "*/",
        "a'a",
    ] {
        for bytes in [150_000, 300_000] {
            let text = piece.repeat(bytes / piece.len());
            assert_eq!(classes(&text), [""; 0], "{piece}");
            assert!(classes(&(text + "\nx'; DROP TABLE users; --")).contains(&"destructive"), "{piece}");
        }
    }
}

/// A text is looked at a view at a time: wherever an attack stands, it is found, and whole.
#[test]
fn an_attack_is_found_wherever_it_stands() {
    for attack in
        ["x' UNION SELECT a, b FROM t --", "x'; DELETE FROM t WHERE 1=1 --", "SELECT a FROM t WHERE b = 1 OR 1=1"]
    {
        let alone = classes(attack);
        for before in 3500..4500 {
            assert_eq!(classes(&format!("{} {attack}", ".".repeat(before))), alone, "{before} tokens before {attack}");
        }
    }
}
