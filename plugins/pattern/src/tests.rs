//! The policy, through its door.

use octroi_policy::prelude::*;

use crate::Pattern;

fn policy(settings: &str) -> Pattern {
    configure(settings).unwrap()
}

fn refused(settings: &str) -> String {
    configure::<Pattern>(settings).unwrap_err()
}

fn check(patterns: &str, text: &str) -> Verdict {
    let settings = format!(r#"{{"patterns":[{patterns}]}}"#);
    policy(&settings).pre_check(&Context::example(), &[Message::user(text)])
}

/// The texts that rules were found in, with the rules' names.
fn found<'a>(verdict: &Verdict, text: &'a str) -> Vec<(String, &'a str)> {
    let place = |finding: &Finding| finding.place.map(|place| &text[place.start as usize..place.end as usize]).unwrap();
    verdict.findings.iter().map(|finding| (finding.rule.clone(), place(finding))).collect()
}

/// The text with the edits applied, as the gateway does it: none may overlap, and each names what stands there.
fn edited(verdict: &Verdict, text: &str) -> String {
    let mut edits: Vec<&Edit> = verdict.edits.iter().collect();
    edits.sort_by_key(|edit| edit.place.start);
    let (mut edited, mut at) = (String::new(), 0);
    for edit in edits {
        let (start, end) = (edit.place.start as usize, edit.place.end as usize);
        assert_eq!(&text[start..end], edit.original);
        edited.push_str(&text[at..start]);
        edited.push_str(&edit.replacement);
        at = end;
    }
    edited + &text[at..]
}

#[test]
fn an_expression_denies_by_default_with_a_reason_that_names_the_rule() {
    let text = "Grüße 😀, when does Project  X start?";
    let verdict = check(r#"{"name":"project-x","pattern":"(?i)project\\s+x"}"#, text);
    assert_eq!((verdict.action, verdict.reason.as_deref()), (Action::Deny, Some("Refused by the rule `project-x`")));
    assert_eq!(found(&verdict, text), [("project-x".into(), "Project  X")]);
    let finding = &verdict.findings[0];
    assert_eq!((finding.category.as_str(), finding.severity), ("pattern", Severity::Medium));
    assert_eq!(check(r#"{"name":"project-x","pattern":"(?i)project\\s+x"}"#, "Project Y"), Verdict::allow());
}

#[test]
fn every_key_of_a_rule_is_obeyed() {
    let rule = r#"{"name":"a.b_c-1","keywords":["tulip"],"category":"sensitive-data","severity":"high",
        "action":"require-approval","reason":"Ask the gardener first","annotations":{"owner":["x",1,null,{"y":2.5}]}}"#;
    let verdict = check(rule, "A Tulip");
    assert_eq!((verdict.action, verdict.reason.as_deref()), (Action::RequireApproval, Some("Ask the gardener first")));
    let finding = &verdict.findings[0];
    assert_eq!((finding.rule.as_str(), finding.category.as_str()), ("a.b_c-1", "sensitive-data"));
    assert_eq!(finding.severity, Severity::High);
    for action in ["allow", "log", "warn"] {
        let verdict = check(&format!(r#"{{"name":"a","keywords":["tulip"],"action":"{action}"}}"#), "tulip");
        assert_eq!((verdict.findings.len(), verdict.reason, verdict.edits), (1, None, vec![]), "{action}");
    }
    assert_eq!(check(r#"{"name":"a","keywords":["tulip"],"enabled":false}"#, "tulip"), Verdict::allow());
}

#[test]
fn a_redaction_lands_behind_other_alphabets_and_expands_nothing() {
    let rule = r#"{"name":"x","pattern":"(?i)(project) x","action":"redact","replacement":"[$1 $0 ${1}]"}"#;
    let text = "Grüße 😀 日本 PROJECT X, пока project x!";
    let verdict = check(rule, text);
    assert_eq!((verdict.action, &verdict.reason), (Action::Redact, &None));
    assert_eq!(edited(&verdict, text), "Grüße 😀 日本 [$1 $0 ${1}], пока [$1 $0 ${1}]!");
    assert_eq!(edited(&check(r#"{"name":"x","pattern":"é+","action":"redact"}"#, "aéé"), "aéé"), "a[REDACTED]");
}

#[test]
fn the_name_of_a_tool_is_judged_and_cannot_be_masked() {
    for (action, expected) in [("redact", Action::Deny), ("warn", Action::Warn), ("deny", Action::Deny)] {
        let settings = format!(
            r#"{{"patterns":[{{"name":"tulip","keywords":["tulip"],"roles":["assistant"],"action":"{action}"}}]}}"#
        );
        let check = |messages: &[Message]| policy(&settings).pre_check(&Context::example(), messages);
        let verdict = check(&[Message::tool_call("find.tulip", "{}")]);
        assert_eq!((verdict.action, verdict.edits.len()), (expected, 0));
        assert_eq!((verdict.findings.len(), verdict.findings[0].place), (1, None));
        assert_eq!(check(&[Message::tool_call("look", "{}"), Message::tool("tulip", "")]), Verdict::allow());
    }
}

#[test]
fn redactions_that_overlap_become_one_and_leave_nothing_readable() {
    let rules = r#"{"name":"a","pattern":"abc","action":"redact","replacement":"[A]"},
        {"name":"b","pattern":"bcdef","action":"redact","replacement":"[B]"},
        {"name":"c","pattern":"efg","action":"redact","replacement":"[C]"},
        {"name":"d","pattern":"g","action":"redact","replacement":"[D]"},
        {"name":"e","pattern":"abcdefgh","action":"log"},
        {"name":"f","pattern":"i","action":"redact","replacement":"[F]"}"#;
    for (text, expected) in
        [("xabcdefghix", "x[A]h[F]x"), ("bcdefg", "[B]"), ("efg g", "[C] [D]"), ("abcabc", "[A][A]")]
    {
        assert_eq!(edited(&check(rules, text), text), expected, "{text}");
    }
}

#[test]
fn keywords_are_whole_words_in_any_case() {
    let rule = r#"{"name":"flowers","keywords":["tulip","rose","rose garden","стоп","c4"]}"#;
    for (text, expected) in [
        ("TULIP and roses, a Rose.", vec!["TULIP", "Rose"]),
        ("The Rose  Garden", vec!["Rose  Garden"]),
        ("rosegarden, primrose", vec![]),
        ("Это СТОП!", vec!["СТОП"]),
        ("a C4 and c40", vec!["C4"]),
        ("tulip tulip,tulip", vec!["tulip", "tulip", "tulip"]),
    ] {
        let texts: Vec<&str> = found(&check(rule, text), text).into_iter().map(|(_, text)| text).collect();
        assert_eq!(texts, expected, "{text}");
    }
}

#[test]
fn what_hides_a_match_from_view_does_not_hide_it_here() {
    let rules = r#"{"name":"words","keywords":["due diligence"],"action":"redact"},
        {"name":"code","pattern":"[A-Z]{3}-\\d{4}","action":"redact"},
        {"name":"marks","pattern":"\\x{200b}|\\\\u","action":"log"}"#;
    let text = "due dili\u{200b}gence, ｄｕｅ diligence, ABC-1\u{ad}234, \\u0041BC-1234, ABC-1234";
    let verdict = check(rules, text);
    assert_eq!(edited(&verdict, text), "[REDACTED], [REDACTED], [REDACTED], [REDACTED], [REDACTED]");
    let marks = found(&verdict, text).into_iter().filter(|(rule, _)| rule == "marks").map(|(_, found)| found);
    assert_eq!(marks.collect::<Vec<_>>(), ["\u{200b}", "\\u"]);
}

/// As it is written the number begins behind the mark, as it is read before it.
#[test]
fn of_two_matches_across_each_other_nothing_stays_readable() {
    let rule = r#"{"name":"digits","pattern":"\\d{16}","action":"redact"}"#;
    let text = "1\u{200b}4111111111111111, 4111111111111111";
    let verdict = check(rule, text);
    assert_eq!(edited(&verdict, text), "[REDACTED], [REDACTED]");
    assert_eq!(verdict.findings.len(), 2);
}

#[test]
fn an_escaped_line_break_parts_words_and_a_backslash_stays_one() {
    let rules = r#"{"name":"tulip","pattern":"(?i)\\bproject\\s+tulip\\b","action":"redact"},
        {"name":"path","pattern":"C:\\\\new","action":"redact","replacement":"[PATH]"}"#;
    let text =
        r#"{"a":"Hi,\nproject tulip starts","b":"{\"c\":\"Hi,\\nProject\\tTulip\"}","d":"C:\new\project tulip"}"#;
    let expected = r#"{"a":"Hi,\n[REDACTED] starts","b":"{\"c\":\"Hi,\\n[REDACTED]\"}","d":"[PATH]\[REDACTED]"}"#;
    assert_eq!(edited(&check(rules, text), text), expected);
}

#[test]
fn a_match_counts_only_if_its_validator_holds() {
    let rule = |validator: &str, pattern: &str| {
        format!(r#"{{"name":"number","pattern":"{pattern}","validator":"{validator}","action":"redact"}}"#)
    };
    for (rule, text, expected) in [
        (rule("luhn", r"(?:\\d[ -]?){13,19}"), "4111 1111 1111 1111 or 4111 1111 1111 1112", "4111 1111 1111 1111 "),
        (rule("iban", r"\\b[A-Z]{2}\\d{2}[A-Z0-9]+"), "GB29NWBK60161331926819, DE00123", "GB29NWBK60161331926819"),
        (rule("us-ssn", r"\\d{3}-\\d{2}-\\d{4}"), "666-12-3456, 123-45-6789", "123-45-6789"),
        (rule("aba", r"\\d{9}"), "021000022 021000021", "021000021"),
        (rule("verhoeff", r"\\d{12}"), "234123412345 234123412346", "234123412346"),
        (rule("pan", r"[A-Z]{5}\\d{4}[A-Z]"), "ABCDE1234F ABCPD1234E", "ABCPD1234E"),
    ] {
        let verdict = check(&rule, text);
        assert_eq!(found(&verdict, text), [("number".into(), expected)], "{rule}");
        assert_eq!(verdict.edits.len(), 1);
    }
}

#[test]
fn rules_of_a_tenant_hold_for_that_tenant_alone() {
    let policy = policy(
        r#"{"patterns":[{"name":"all","keywords":["red"],"action":"warn"},
            {"name":"one","keywords":["red"],"tenants":["helpdesk"]},
            {"name":"two","pattern":"red|blue","tenants":["helpdesk","sales","sales"]}]}"#,
    );
    let asked = |tenant: &str, text: &str| {
        let mut context = Context::example();
        context.caller.tenant = tenant.into();
        let verdict = policy.pre_check(&context, &[Message::user(text)]);
        let rules: Vec<String> = verdict.findings.iter().map(|finding| finding.rule.clone()).collect();
        (verdict.action, rules.join(" "))
    };
    assert_eq!(asked("helpdesk", "red"), (Action::Deny, "one two all".into()));
    assert_eq!(asked("sales", "red"), (Action::Deny, "two all".into()));
    assert_eq!(asked("sales", "blue"), (Action::Deny, "two".into()));
    for tenant in ["finance", "", "Sales", "sales ", "sale"] {
        assert_eq!(asked(tenant, "red"), (Action::Warn, "all".into()), "{tenant}");
        assert_eq!(asked(tenant, "blue"), (Action::Allow, String::new()), "{tenant}");
    }
}

#[test]
fn roles_and_phases_say_whose_texts_are_looked_at() {
    let policy = policy(
        r#"{"patterns":[{"name":"every","pattern":"gold"},{"name":"spoken","keywords":["gold"],"roles":["user","tool"]},
            {"name":"answered","pattern":".*gold","phases":["response"],"action":"redact"},
            {"name":"both","pattern":"\\w+","phases":["pre-check","response"],"action":"log"}]}"#,
    );
    let rules = |verdict: Verdict| {
        let mut rules: Vec<String> = verdict.findings.into_iter().map(|finding| finding.rule).collect();
        rules.sort_unstable();
        rules.join(" ")
    };
    for (message, expected) in [
        (Message::system("gold"), "both every"),
        (Message::user("gold"), "both every spoken"),
        (Message::assistant("gold"), "both every"),
        (Message::tool("-", "gold"), "both every spoken"),
        (Message::tool_call("-", "gold"), "both every"),
    ] {
        assert_eq!(
            rules(policy.pre_check(&Context::example(), std::slice::from_ref(&message))),
            expected,
            "{message:?}"
        );
        let answer = Answer { choices: vec![message], more: false };
        assert_eq!(rules(policy.response(&Context::example(), &answer)), "answered both");
    }
}

#[test]
fn the_first_of_the_strongest_rules_gives_the_reason() {
    let rules = r#"{"name":"a","pattern":"x","action":"require-approval"},{"name":"b","pattern":"z"},
        {"name":"c","pattern":"y"},{"name":"d","pattern":"w","action":"redact"}"#;
    for (text, action, reason) in [
        ("w x", Action::RequireApproval, Some("a")),
        ("y x z", Action::Deny, Some("b")),
        ("y x", Action::Deny, Some("c")),
        ("w", Action::Redact, None),
    ] {
        let verdict = check(rules, text);
        let reason = reason.map(|rule| format!("Refused by the rule `{rule}`"));
        assert_eq!((verdict.action, verdict.reason), (action, reason), "{text}");
    }
}

/// A refusal is named after its first finding.
#[test]
fn what_refuses_is_told_first_and_the_rule_whose_reason_counts_before_all() {
    let patterns = r#"{"name": "mail", "keywords": ["jane"], "action": "redact"},
        {"name": "flowers", "keywords": ["tulip"]},
        {"name": "trees", "keywords": ["oak"]},
        {"name": "house", "keywords": ["villa"], "action": "require-approval"}"#;
    let rules = |text: &str| -> Vec<String> { check(patterns, text).findings.into_iter().map(|it| it.rule).collect() };
    assert_eq!(rules("jane villa oak tulip jane"), ["flowers", "trees", "house", "mail", "mail"]);
    assert_eq!(rules("jane villa jane"), ["house", "mail", "mail"]);
    let rules = rules(&("jane ".repeat(2_500) + "villa oak"));
    assert_eq!((rules[0].as_str(), rules.len()), ("trees", 2_000));
}

#[test]
fn what_only_a_part_of_the_text_decides_is_seen_there() {
    for (pattern, text, expected) in [
        // Looking around, at the edges of what is searched and at those of the text.
        (r"\\b\\d{3}\\b", "1234 567 89 012", vec!["567", "012"]),
        (r"^\\d{2}-\\d{2}$", "12-34", vec!["12-34"]),
        (r"^\\d{2}-\\d{2}$", " 12-34", vec![]),
        (r"(?m)^\\d{2}$", "1\\n12\\n123\\n34", vec!["12", "34"]),
        (r"\\b\\d{3}-\\d{2}\\b", "é123-45 é 123-45é 678-90 😀", vec!["678-90"]),
        // Greed, and what was taken before.
        (r"a{2,4}", "aaaaaaa b aa", vec!["aaaa", "aaa", "aa"]),
        (r"a{2,4}?", "aaaaa", vec!["aa", "aa"]),
        (r"x\\d+|\\d{3}", "x123456 789", vec!["x123456", "789"]),
        (r"(?i)ſecret", "SECRET secret", vec!["SECRET", "secret"]),
    ] {
        let text = text.replace("\\n", "\n");
        let verdict = check(&format!(r#"{{"name":"a","pattern":"{pattern}"}}"#), &text);
        let texts: Vec<&str> = found(&verdict, &text).into_iter().map(|(_, text)| text).collect();
        assert_eq!(texts, expected, "{pattern} in {text}");
    }
}

/// Rows of characters, ranges and joining them may not change what is found.
#[test]
fn what_is_found_is_what_a_search_of_the_whole_text_finds() {
    const PATTERNS: &[&str] = &[
        "ab",
        "(?i)abk",
        r"\bab\b",
        r"\d{2,4}",
        r"\b\d+-\d+\b",
        r"a\s+b",
        r"a{2,4}b?",
        r"(?:ab|b1|k-)+",
        r"[ab]{3}|é{2}",
        r"\w+-\w+",
        r"\Sk",
        r"(?i)é\s?k",
        r"^a|k$",
        r"(?m)^[ab]+$",
        r"a.*?b",
        r"a.{0,5}b",
        r"(?s)1.+2",
        r"[^a]b",
        r"\Bb\B",
        r"x?a1",
        r"\p{L}\d",
        r"(?:\s|-)(?:1|2|é)",
        r"(a|b)(b|k)(1|2)?",
        r"😀+|a😀",
        ".",
    ];
    const PIECES: &[&str] = &["a", "b", "k", "K", "1", "2", "-", " ", "\n", "é", "É", "\u{212a}", "😀", "ab", "aab "];
    let mut seed = 7_u64;
    let mut random = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    let rules: Vec<String> = PATTERNS
        .iter()
        .enumerate()
        .map(|(number, pattern)| format!(r#"{{"name":"r{number}","pattern":{pattern:?},"action":"log"}}"#))
        .collect();
    let together = policy(&format!(r#"{{"patterns":[{}]}}"#, rules.join(",")));
    let alone: Vec<Pattern> = rules.iter().map(|rule| policy(&format!(r#"{{"patterns":[{rule}]}}"#))).collect();
    let expressions: Vec<regex_automata::meta::Regex> =
        PATTERNS.iter().map(|it| regex_automata::meta::Regex::new(it).unwrap()).collect();
    for round in 0..3_000 {
        // Mostly short ones, and some for which the automata of long searches are built: those have more matches than
        // one verdict tells, so that each rule is asked by itself.
        let is_long = round % 100 == 0;
        let length = random(if is_long { 1_500 } else { 60 });
        let text: String = (0..length).map(|_| PIECES[random(PIECES.len())]).collect();
        let messages = [Message::user(&text)];
        let verdict = together.pre_check(&Context::example(), &messages);
        for (number, expression) in expressions.iter().enumerate() {
            let rule = format!("r{number}");
            let by_itself = is_long.then(|| alone[number].pre_check(&Context::example(), &messages));
            let findings = &by_itself.as_ref().unwrap_or(&verdict).findings;
            let places = findings.iter().filter(|finding| finding.rule == rule).filter_map(|it| it.place);
            let places: Vec<_> = places.map(|place| place.start as usize..place.end as usize).collect();
            let whole: Vec<_> = expression.find_iter(&text).map(|found| found.range()).collect();
            assert_eq!(places, whole, "{} in {text:?}", PATTERNS[number]);
        }
    }
}

#[test]
fn a_wrong_setting_is_refused_by_its_key() {
    let rule = |keys: &str| format!(r#"{{"patterns":[{{"name":"fine","pattern":"x"}},{{{keys}}}]}}"#);
    for (settings, expected) in [
        (r#"{"pattern":[]}"#.into(), "settings.pattern: unknown field `pattern`"),
        (rule(r#""name":"a","patern":"x""#), "settings.patterns[1].patern: unknown field `patern`"),
        (rule(r#""pattern":"x""#), "settings.patterns[1]: missing field `name`"),
        (rule(r#""name":"a b","pattern":"x""#), "settings.patterns[1].name: expected 1 to 128 letters"),
        (
            rule(r#""name":"fine","pattern":"x""#),
            "settings.patterns[1].name: it is also the name of settings.patterns[0]",
        ),
        (rule(r#""name":"a""#), "settings.patterns[1]: give either `pattern` or `keywords`"),
        (rule(r#""name":"a","pattern":"x","keywords":["y"]"#), "settings.patterns[1]: give either"),
        (rule(r#""name":"a","pattern":"(oops""#), "settings.patterns[1].pattern: unclosed group, at character 1"),
        (rule(r#""name":"a","pattern":"(?<=a)b""#), "settings.patterns[1].pattern: look-around"),
        (rule(r#""name":"a","pattern":"a*""#), "settings.patterns[1].pattern: it matches the empty text"),
        (rule(r#""name":"a","pattern":"\bproject x\b""#), "settings.patterns[1].pattern: it holds a backspace"),
        (
            rule(r#""name":"a","pattern":"(\\w{1000}){1000}""#),
            "settings.patterns[1].pattern: it would take more than 4 MiB",
        ),
        (rule(r#""name":"a","keywords":[]"#), "settings.patterns[1].keywords: found 0, expected 1 to 1000"),
        (rule(r#""name":"a","keywords":["x"," "]"#), "settings.patterns[1].keywords[1]: must not be empty"),
        (
            rule(r#""name":"a","pattern":"x","validator":"crc""#),
            "settings.patterns[1].validator: unknown variant `crc`",
        ),
        (rule(r#""name":"a","pattern":"x","action":"mask""#), "settings.patterns[1].action: unknown variant `mask`"),
        (
            rule(r#""name":"a","pattern":"x","roles":["robot"]"#),
            "settings.patterns[1].roles[0]: unknown variant `robot`",
        ),
        (
            rule(r#""name":"a","pattern":"x","phases":["audit"]"#),
            "settings.patterns[1].phases[0]: unknown variant `audit`",
        ),
        (rule(r#""name":"a","pattern":"x","category":"ü""#), "settings.patterns[1].category: expected"),
        (r#"{"probe":true,"patterns":[{"name":"a","pattern":"x"}]}"#.into(), "settings.patterns: must be empty"),
        (rule(r#""name":"a","pattern":"(","enabled":false"#), "settings.patterns[1].pattern: unclosed group"),
        (
            rule(&format!(r#""name":"a","pattern":"{}""#, "x".repeat(1_001))),
            "settings.patterns[1].pattern: longer than 1000",
        ),
        (rule(&format!(r#""name":"a","pattern":"{}""#, "(".repeat(900))), "settings.patterns[1].pattern: "),
    ] {
        let error = refused(&settings);
        assert!(error.starts_with(expected) && error.len() < 400, "{error} should be {expected}");
    }
    let thousand: Vec<String> = (0..1_001).map(|number| format!(r#"{{"name":"r{number}","pattern":"x"}}"#)).collect();
    assert!(configure::<Pattern>(&format!(r#"{{"patterns":[{}]}}"#, thousand[..1_000].join(","))).is_ok());
    let error = refused(&format!(r#"{{"patterns":[{}]}}"#, thousand.join(",")));
    assert_eq!(error, "settings.patterns: found 1001, expected at most 1000");
}

#[test]
fn a_thousand_rules_are_kept_apart() {
    let rules: Vec<String> = (0..1_000)
        .map(|number| match number % 3 {
            0 => format!(r#"{{"name":"r{number}","pattern":"(?i)\\bword{number:04}\\b","action":"log"}}"#),
            1 => format!(r#"{{"name":"r{number}","pattern":"\\b{number:04}-\\d{{3}}\\b","action":"log"}}"#),
            _ => format!(r#"{{"name":"r{number}","keywords":["key {number:04}"],"action":"log"}}"#),
        })
        .collect();
    let policy = policy(&format!(r#"{{"patterns":[{}]}}"#, rules.join(",")));
    for number in [0, 1, 2, 499, 500, 997, 998, 999] {
        let text = format!("ä WORD{number:04} {number:04}-123 Key {number:04}");
        let verdict = policy.pre_check(&Context::example(), &[Message::user(&text)]);
        assert_eq!(found(&verdict, &text).len(), 1, "{text}");
        assert_eq!(verdict.findings[0].rule, format!("r{number}"));
    }
}

#[test]
fn more_than_a_verdict_can_hold_is_counted_or_refused() {
    let text = "x ".repeat(20_000);
    let verdict = check(r#"{"name":"a","pattern":"x","action":"log"}"#, &text);
    assert_eq!((verdict.action, verdict.findings.len()), (Action::Log, 2_000));
    assert_eq!(verdict.tags, [("findings-left-out".to_owned(), "18000".to_owned())]);
    let verdict = check(r#"{"name":"a","pattern":"x","action":"redact"}"#, &text);
    assert_eq!((verdict.action, verdict.edits.len()), (Action::Deny, 0));
    assert_eq!(verdict.reason.as_deref(), Some("There is more to mask than one verdict can hold"));
    let verdict = check(r#"{"name":"a","pattern":"(?s).+","action":"redact"}"#, &"x".repeat(700_000));
    assert_eq!((verdict.action, verdict.edits.len()), (Action::Deny, 0));
    let text = "x ".repeat(4_000);
    let verdict = check(r#"{"name":"a","pattern":"x","action":"redact"}"#, &text);
    assert_eq!((verdict.action, verdict.edits.len()), (Action::Redact, 4_000));
    assert!(!edited(&verdict, &text).contains('x'));
}

/// Each was made to cost more with every byte. That they cost no more than they may `tests/hostile.rs` shows.
#[test]
fn hostile_texts_are_read_to_their_end() {
    for (pattern, end) in [
        (r"(a+)+b", "aab"),
        (r"(a|aa)+$", "aa"),
        (r"(?:a?){50}a{50}", &"a".repeat(50)),
        (r"(.*)(.*)(.*)(.*)x{5}y", "xxxxxy"),
        (r"\\b\\w+@\\w+\\.\\w+\\b", "a@a.a"),
        (r"(?i)(?:\\s*k\\s*)+!", "k!"),
    ] {
        let rule = format!(r#"{{"name":"a","pattern":"{pattern}"}}"#);
        for piece in ["a", "aab ", "é", "a@a", "xxxxx", " \u{a0}k"] {
            for bytes in [50_000, 100_000] {
                let text = format!("{}\n{end}", piece.repeat(bytes / piece.len()));
                let verdict = check(&rule, &text);
                let expected = match (pattern, piece) {
                    // As many as are told of one text.
                    (r"(a+)+b", "aab ") => 2_000,
                    (r"(?:a?){50}a{50}", "a") => bytes / 100 + 1,
                    _ => 1,
                };
                let last = verdict.findings.last().and_then(|finding| finding.place).unwrap();
                assert_eq!((verdict.action, verdict.findings.len()), (Action::Deny, expected), "{pattern} {piece}");
                assert!(expected == 2_000 || last.end as usize == text.len(), "{pattern} {piece}");
            }
        }
    }
    for (keywords, text) in [
        ("a b a b a b c", "a b ".repeat(25_000) + "a b a b a b c"),
        ("aaaa    aaaa", "aaaa".to_owned() + &" ".repeat(100_000) + "aaaa"),
    ] {
        let verdict = check(&format!(r#"{{"name":"a","keywords":["{keywords}"]}}"#), &text);
        let last = verdict.findings.last().and_then(|finding| finding.place).unwrap();
        assert_eq!((verdict.findings.len(), last.end as usize), (1, text.len()), "{keywords}");
    }
}

#[test]
fn a_stream_is_masked_where_the_client_does_not_have_it_yet() {
    let policy = policy(r#"{"patterns":[{"name":"a","pattern":"ééé","action":"redact","phases":["response"]}]}"#);
    let edits = |released: u32| {
        let mut message = Message::assistant("xééé");
        message.parts[0].window = Some(Window { offset: 0, released });
        let verdict = policy.response(&Context::example(), &Answer { choices: vec![message], more: true });
        verdict.edits.into_iter().map(|edit| edit.original).collect::<Vec<_>>()
    };
    assert_eq!(edits(1), ["ééé"]);
    assert_eq!(edits(3), ["éé"]);
    assert_eq!(edits(7), [""; 0]);
}

#[test]
fn a_stream_is_not_refused_for_what_went_out_before() {
    let policy = policy(
        r#"{"patterns":[{"name":"a","pattern":"^Sorry","phases":["response"]},
            {"name":"b","keywords":["tulip"],"action":"require-approval","phases":["response"]},
            {"name":"c","keywords":["and"],"action":"warn","phases":["response"]}]}"#,
    );
    let said = |text: &str, released: u32| {
        let mut message = Message::assistant(text);
        message.parts[0].window = Some(Window { offset: 7, released });
        policy.response(&Context::example(), &Answer { choices: vec![message], more: true }).action
    };
    assert_eq!(said("Sorry, a tulip and", 16), Action::Warn);
    assert_eq!(said("Sorry, a tulip and", 8), Action::RequireApproval);
    assert_eq!(said("Sorry, a tulip and", 11), Action::RequireApproval, "it began in what went out");
    assert_eq!(said("Sorry, a tulip and", 0), Action::Deny);
}

mod probing {
    use super::*;

    fn probe(pattern: &str, messages: &[Message]) -> Verdict {
        let mut context = Context::example();
        context.attributes = vec![("other".into(), "x".into()), ("pattern".into(), pattern.into())];
        policy(r#"{"probe":true}"#).pre_check(&context, messages)
    }

    #[test]
    fn every_match_is_a_finding_and_groups_are_tags() {
        let messages = [Message::user("Grüße 1a 22"), Message::user("none"), Message::system("7 b")];
        let verdict = probe(r"(\d)\s?(\w)?", &messages);
        assert_eq!((verdict.action, &verdict.reason), (Action::Allow, &None));
        let places: Vec<_> = verdict
            .findings
            .iter()
            .map(|finding| (finding.rule.as_str(), finding.place.map(|place| (place.message, place.start, place.end))))
            .collect();
        assert_eq!(places, [("match", Some((0, 8, 10))), ("match", Some((0, 11, 13))), ("match", Some((2, 0, 3)))]);
        let tags: Vec<_> = verdict.tags.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let expected = ["group.0.0=1a", "group.0.1=1", "group.0.2=a", "group.2.0=7 b", "group.2.1=7", "group.2.2=b"];
        assert_eq!(tags, expected);
    }

    #[test]
    fn a_bad_expression_is_a_denial_that_says_why_in_one_line() {
        for (pattern, reason) in [
            ("(", "unclosed group, at character 1"),
            ("a\n(", "unclosed group, at line 2, character 1"),
            ("a*", "it matches the empty text, and so every text; ask for one character at least"),
            (r"\p{Klingon}", "Unicode property not found, at character 1"),
        ] {
            let verdict = probe(pattern, &[Message::user("text")]);
            assert_eq!((verdict.action, verdict.reason.as_deref()), (Action::Deny, Some(reason)), "{pattern}");
            assert_eq!(verdict.findings[0].rule, "invalid");
        }
        let verdict = policy(r#"{"probe":true}"#).pre_check(&Context::example(), &[Message::user("text")]);
        assert_eq!(verdict.reason.as_deref(), Some("the context has no attribute `pattern`"));
    }

    #[test]
    fn what_it_tells_is_bounded() {
        let many: Vec<Message> = (0..100).map(|_| Message::user("x".repeat(1_025))).collect();
        let verdict = probe("(x)x*", &many);
        assert_eq!((verdict.findings.len(), verdict.tags.len()), (100, 64));
        assert!(verdict.tags.iter().all(|(_, value)| value == "x"));
        assert_eq!(probe("x", &many).findings.len(), 2_000);
    }

    #[test]
    fn the_attribute_means_nothing_to_rules() {
        let mut context = Context::example();
        context.attributes = vec![("pattern".into(), "text".into())];
        let policy = policy(r#"{"patterns":[]}"#);
        assert_eq!(policy.pre_check(&context, &[Message::user("text")]), Verdict::allow());
    }
}
