//! `docs/wit.md` is `wit/`, made readable: this writes it (`make docs`) and sees that it is up to date.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panics")]

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use wit_parser::{Docs, InterfaceId, Resolve, Type, TypeDefKind, TypeId, TypeOwner, World, WorldItem};

const HEAD: &str = "\
# The WIT reference

<!-- Written by `make docs` from wit/. Change it there. -->

Every interface, function and type of the package `{package}`, as [`wit/`](../wit) documents them. How a policy is
written, tested and rolled out stands in the [author's guide](policies.md).
";

#[test]
fn the_wit_reference_is_up_to_date() {
    let path = root().join("docs/wit.md");
    if std::env::var_os("OCTROI_WRITE_DOCS").is_some() {
        fs::write(&path, rendered()).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == rendered(), "docs/wit.md is not what wit/ says: run `make docs`");
}

#[test]
fn every_link_of_the_reference_has_its_place() {
    let text = rendered();
    let targets: BTreeSet<_> = text.split("<a id=\"").skip(1).filter_map(|it| it.split('"').next()).collect();
    let links: BTreeSet<_> = text.split("](#").skip(1).filter_map(|it| it.split(')').next()).collect();
    assert!(!links.is_empty());
    assert_eq!(links.difference(&targets).collect::<Vec<_>>(), Vec::<&&str>::new(), "links that lead nowhere");
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rendered() -> String {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(root().join("wit")).unwrap();
    Reference { resolve: &resolve, package }.render()
}

struct Reference<'a> {
    resolve: &'a Resolve,
    package: wit_parser::PackageId,
}

/// Interfaces by what a policy has to do with them, and the sentence that says so.
const GROUPS: [(&str, &str); 3] = [
    ("What a policy exports", "`lifecycle`, and one or more of the others."),
    ("What a policy may import", "What the gateway offers. `log` needs no grant; others stand under `capabilities`."),
    ("The words they share", "Types without functions of their own."),
];

impl Reference<'_> {
    fn render(&self) -> String {
        let package = &self.resolve.packages[self.package];
        let mut out = HEAD.replace("{package}", &package.name.to_string());
        let groups = self.groups();
        for ((title, sentence), interfaces) in GROUPS.iter().zip(&groups) {
            writeln!(out, "\n**{title}.** {sentence}\n").unwrap();
            for id in interfaces {
                let interface = &self.resolve.interfaces[*id];
                let first = interface.docs.contents.as_deref().unwrap_or_default().split("\n\n").next().unwrap();
                writeln!(out, "- [`{0}`](#{0}): {1}", self.name(*id), one_line(first)).unwrap();
            }
        }
        out.push_str("\n**[Worlds](#worlds).** Which of them go together.\n");
        for id in groups.iter().flatten() {
            self.interface(&mut out, *id);
        }
        self.worlds(&mut out);
        out
    }

    /// Exports, imports and the rest, each in the order in which the largest world names them.
    fn groups(&self) -> [Vec<InterfaceId>; 3] {
        let package = &self.resolve.packages[self.package];
        let mut worlds: Vec<&World> = package.worlds.values().map(|id| &self.resolve.worlds[*id]).collect();
        worlds.sort_by_key(|world| std::cmp::Reverse(world.exports.len() + world.imports.len()));
        let mut groups: [Vec<InterfaceId>; 3] = Default::default();
        let mut place = |id: InterfaceId, group: usize| {
            if !groups.iter().flatten().any(|known| *known == id) {
                groups[group].push(id);
            }
        };
        for id in worlds.iter().flat_map(|world| world.exports.values()).filter_map(interface_of) {
            place(id, 0);
        }
        let with_functions = |id: &InterfaceId| !self.resolve.interfaces[*id].functions.is_empty();
        for id in worlds.iter().flat_map(|world| world.imports.values()).filter_map(interface_of).filter(with_functions)
        {
            place(id, 1);
        }
        for id in package.interfaces.values() {
            place(*id, if with_functions(id) { 1 } else { 2 });
        }
        groups
    }

    fn name(&self, id: InterfaceId) -> &str {
        self.resolve.interfaces[id].name.as_deref().unwrap()
    }

    fn interface(&self, out: &mut String, id: InterfaceId) {
        let interface = &self.resolve.interfaces[id];
        let name = self.name(id);
        heading(out, 2, name, &format!("`{name}`"));
        paragraphs(out, &interface.docs);
        for (function, about) in &interface.functions {
            heading(out, 3, &format!("{name}.{function}"), &format!("`{name}.{function}`"));
            let params: Vec<_> =
                about.params.iter().map(|param| format!("{}: {}", param.name, self.type_name(&param.ty))).collect();
            let result = about.result.map(|ty| format!(" -> {}", self.type_name(&ty))).unwrap_or_default();
            writeln!(out, "\n```wit\n{function}: func({}){result};\n```", params.join(", ")).unwrap();
            paragraphs(out, &about.docs);
            let mut named = Vec::new();
            about.params.iter().map(|param| param.ty).chain(about.result).for_each(|ty| self.named(ty, &mut named));
            if !named.is_empty() {
                let links: Vec<_> = named.iter().map(|id| self.link(*id)).collect();
                writeln!(out, "\nIts types: {}.", links.join(", ")).unwrap();
            }
        }
        for (type_name, ty) in &interface.types {
            if self.origin(*ty) == *ty {
                self.type_definition(out, name, type_name, *ty);
            }
        }
    }

    fn type_definition(&self, out: &mut String, interface: &str, name: &str, id: TypeId) {
        let definition = &self.resolve.types[id];
        let kind = definition.kind.as_str();
        heading(out, 3, &format!("{interface}.{name}"), &format!("{kind} `{name}`"));
        paragraphs(out, &definition.docs);
        let table = |out: &mut String, first: &str| {
            writeln!(out, "\n| {first} | type | |\n|---|---|---|").unwrap();
        };
        let plain_table = |out: &mut String, first: &str| {
            writeln!(out, "\n| {first} | |\n|---|---|").unwrap();
        };
        match &definition.kind {
            TypeDefKind::Record(record) => {
                table(out, "field");
                for field in &record.fields {
                    row(out, &field.name, Some(&self.type_cell(&field.ty)), &field.docs);
                }
            }
            TypeDefKind::Variant(variant) => {
                table(out, "case");
                for case in &variant.cases {
                    let ty = case.ty.map(|ty| self.type_cell(&ty)).unwrap_or_default();
                    row(out, &case.name, Some(&ty), &case.docs);
                }
            }
            TypeDefKind::Enum(cases) => {
                plain_table(out, "case");
                for case in &cases.cases {
                    row(out, &case.name, None, &case.docs);
                }
            }
            TypeDefKind::Flags(flags) => {
                plain_table(out, "flag");
                for flag in &flags.flags {
                    row(out, &flag.name, None, &flag.docs);
                }
            }
            TypeDefKind::Type(ty) => writeln!(out, "\nThe same as {}.", self.type_cell(ty)).unwrap(),
            other => panic!("{interface}.{name}: teach tests/wit_reference.rs to write a {}", other.as_str()),
        }
    }

    fn worlds(&self, out: &mut String) {
        heading(out, 2, "worlds", "Worlds");
        for (name, id) in &self.resolve.packages[self.package].worlds {
            let world = &self.resolve.worlds[*id];
            heading(out, 3, &format!("worlds.{name}"), &format!("world `{name}`"));
            paragraphs(out, &world.docs);
            for (what, items) in [("Imports", &world.imports), ("Exports", &world.exports)] {
                let links: Vec<_> =
                    items.values().filter_map(interface_of).map(|id| format!("[`{0}`](#{0})", self.name(id))).collect();
                writeln!(out, "\n{what}: {}.", links.join(", ")).unwrap();
            }
        }
    }

    /// Where a type was defined: `use` leaves an alias in the interface that uses it.
    fn origin(&self, id: TypeId) -> TypeId {
        match self.resolve.types[id].kind {
            TypeDefKind::Type(Type::Id(used)) if self.resolve.types[used].owner != self.resolve.types[id].owner => {
                self.origin(used)
            }
            _ => id,
        }
    }

    fn link(&self, id: TypeId) -> String {
        let definition = &self.resolve.types[id];
        let TypeOwner::Interface(owner) = definition.owner else { panic!("types stand in interfaces") };
        let name = definition.name.as_deref().unwrap();
        format!("[`{name}`](#{}.{name})", self.name(owner))
    }

    /// A type as it stands in WIT, linked to the first type in it that has a name.
    fn type_cell(&self, ty: &Type) -> String {
        let mut named = Vec::new();
        self.named(*ty, &mut named);
        let written = self.type_name(ty);
        match named.first() {
            Some(id) => {
                let link = self.link(*id);
                format!("[`{written}`]{}", link.split_once(']').unwrap().1)
            }
            None => format!("`{written}`"),
        }
    }

    /// The named types in a type, each once, in order.
    fn named(&self, ty: Type, found: &mut Vec<TypeId>) {
        let Type::Id(id) = ty else { return };
        let id = self.origin(id);
        let definition = &self.resolve.types[id];
        if definition.name.is_some() {
            if !found.contains(&id) {
                found.push(id);
            }
            return;
        }
        self.inner(&definition.kind).into_iter().for_each(|ty| self.named(ty, found));
    }

    fn inner(&self, kind: &TypeDefKind) -> Vec<Type> {
        match kind {
            TypeDefKind::List(ty) | TypeDefKind::Option(ty) | TypeDefKind::Type(ty) => vec![*ty],
            TypeDefKind::Tuple(tuple) => tuple.types.clone(),
            TypeDefKind::Result(result) => result.ok.into_iter().chain(result.err).collect(),
            other => panic!("teach tests/wit_reference.rs to write a {} without a name", other.as_str()),
        }
    }

    fn type_name(&self, ty: &Type) -> String {
        let Type::Id(id) = ty else { return primitive(*ty).to_owned() };
        let definition = &self.resolve.types[self.origin(*id)];
        if let Some(name) = &definition.name {
            return name.clone();
        }
        let all = |types: Vec<Type>| types.iter().map(|ty| self.type_name(ty)).collect::<Vec<_>>().join(", ");
        match &definition.kind {
            TypeDefKind::Result(result) => {
                let or_nothing = |ty: Option<Type>| ty.map_or_else(|| "_".to_owned(), |ty| self.type_name(&ty));
                match (result.ok, result.err) {
                    (None, None) => "result".to_owned(),
                    (Some(ok), None) => format!("result<{}>", self.type_name(&ok)),
                    (ok, err) => format!("result<{}, {}>", or_nothing(ok), or_nothing(err)),
                }
            }
            kind => format!("{}<{}>", kind.as_str(), all(self.inner(kind))),
        }
    }
}

fn primitive(ty: Type) -> &'static str {
    match ty {
        Type::Bool => "bool",
        Type::U8 => "u8",
        Type::U16 => "u16",
        Type::U32 => "u32",
        Type::U64 => "u64",
        Type::S8 => "s8",
        Type::S16 => "s16",
        Type::S32 => "s32",
        Type::S64 => "s64",
        Type::F32 => "f32",
        Type::F64 => "f64",
        Type::Char => "char",
        Type::String => "string",
        Type::ErrorContext | Type::Id(_) => panic!("{ty:?} is no primitive type"),
    }
}

fn interface_of(item: &WorldItem) -> Option<InterfaceId> {
    match item {
        WorldItem::Interface { id, .. } => Some(*id),
        _ => None,
    }
}

fn heading(out: &mut String, level: usize, anchor: &str, text: &str) {
    writeln!(out, "\n<a id=\"{anchor}\"></a>\n{} {text}", "#".repeat(level)).unwrap();
}

fn paragraphs(out: &mut String, docs: &Docs) {
    if let Some(text) = &docs.contents {
        writeln!(out, "\n{}", text.trim()).unwrap();
    }
}

fn row(out: &mut String, name: &str, ty: Option<&str>, docs: &Docs) {
    let about = one_line(docs.contents.as_deref().unwrap_or_default()).replace('|', "\\|");
    let ty = ty.map(|ty| format!(" {ty} |")).unwrap_or_default();
    writeln!(out, "| `{name}` |{ty} {about} |").unwrap();
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
