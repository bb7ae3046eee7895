//! Which file is read.

use std::fs;
use std::path::Path;

use crate::config::{Config, ConfigError};

use super::environment;

fn write(directory: &Path, name: &str, port: u16) {
    fs::create_dir_all(directory.join(name).parent().unwrap()).unwrap();
    fs::write(directory.join(name), format!("version: \"1.0\"\nserver: {{listen: \"127.0.0.1:{port}\"}}\n")).unwrap();
}

#[test]
fn the_first_of_the_search_order_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let variables = environment([("OCTROI_CONFIG", "a.yaml"), ("AXONFLOW_CONFIG_FILE", "b.yaml")]);
    let second = environment([("OCTROI_CONFIG", ""), ("AXONFLOW_CONFIG_FILE", "b.yaml")]);
    let none = environment([]);
    let order = [
        ("x.yaml", Some(Path::new("x.yaml")), &variables),
        ("a.yaml", None, &variables),
        ("b.yaml", None, &second),
        ("octroi.yaml", None, &none),
        ("axonflow.yaml", None, &none),
        ("config/axonflow.yaml", None, &none),
    ];
    for (port, (name, ..)) in (1_u16..).zip(order) {
        write(directory.path(), name, port);
    }
    for (port, (name, explicit, environment)) in (1_u16..).zip(order) {
        let loaded = Config::load_in(directory.path(), explicit, environment).unwrap();
        assert_eq!((loaded.source.as_deref(), loaded.config.server.listen.port()), (Some(Path::new(name)), port));
        fs::remove_file(directory.path().join(name)).unwrap();
    }
    let loaded = Config::load_in(directory.path(), None, &none).unwrap();
    assert_eq!((loaded.source, loaded.config.server.listen.port()), (None, 8_080));
}

#[test]
fn a_named_file_that_does_not_exist_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), "octroi.yaml", 1);
    let variables = environment([("AXONFLOW_CONFIG_FILE", "b.yaml")]);
    let error = Config::load_in(directory.path(), None, &variables).unwrap_err();
    assert_eq!(error.to_string(), "b.yaml: no such file (named by AXONFLOW_CONFIG_FILE)");
    let error = Config::load_in(directory.path(), Some(Path::new("x.yaml")), &variables).unwrap_err();
    assert_eq!(error.to_string(), "x.yaml: no such file (named by --config)");
    assert_eq!(error.code(), "config_not_found");
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_and_not_passed_over() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("octroi.yaml")).unwrap();
    write(directory.path(), "axonflow.yaml", 1);
    let error = Config::load_in(directory.path(), None, &environment([])).unwrap_err();
    assert!(matches!(error, ConfigError::Read { .. }), "{error}");

    let file = directory.path().join("binary.yaml");
    fs::write(&file, [0xff, 0xfe, 0xfd]).unwrap();
    let error = Config::load_in(directory.path(), Some(&file), &environment([])).unwrap_err();
    assert!(error.to_string().ends_with("cannot be read: not UTF-8"), "{error}");

    fs::write(&file, vec![b'#'; 3 << 20]).unwrap();
    let error = Config::load_in(directory.path(), Some(&file), &environment([])).unwrap_err();
    assert!(error.to_string().ends_with("found 1048577 bytes, allowed: at most 1048576"), "{error}");
}
