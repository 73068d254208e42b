//! From a container to everything that it runs.

use compact_str::{CompactString, ToCompactString};

use super::{
    Confidence, Operation, Site,
    catalogue::{Catalogue, EnvRule, Tool},
    classify::UNKNOWN_TOOL,
    commands::{Field, Found, Reader, Step},
    effort::Effort,
    environment::{Environment, Variable},
    files::Files,
    hints::{self, Hint},
    image::Image,
    names::{self, Meaning},
    script::{HOLE, Stdin},
    setting,
    unwrap::basename,
    verb::{Arguments, is_plain},
};
use crate::model::Container;

/// Variables by which home-made entrypoints are told to migrate.
const SWITCHES: [&str; 10] = [
    "RUN_MIGRATIONS",
    "RUN_MIGRATION",
    "RUN_DB_MIGRATIONS",
    "DB_MIGRATE",
    "MIGRATE",
    "AUTO_MIGRATE",
    "MIGRATE_ON_START",
    "MIGRATE_ON_BOOT",
    "APPLY_MIGRATIONS",
    "ENABLE_MIGRATIONS",
];

/// What one site of a container does.
#[derive(Debug)]
pub(super) struct Account<'c> {
    pub(super) found: Vec<Found<'c>>,
    /// After the last migration something else is run.
    pub(super) serves_after: bool,
    /// Where a command is run that nobody showed.
    hidden: Option<Field>,
}

/// Reads one site of a container.
///
/// `owner` is the name of the object when the container is the only one that it is about.
pub(super) fn read<'c>(
    catalogue: &'c Catalogue,
    owner: Option<&str>,
    container: &Container<'_>,
    files: Files<'c>,
    site: Site,
    effort: &Effort,
) -> Account<'c> {
    match site {
        Site::Command => Context::new(catalogue, container, files, effort).main_command(owner),
        Site::PostStart => {
            let Some(command) = container.post_start() else { return Account::nothing() };
            let context = Context::new(catalogue, container, files, effort);
            context.run(Field::PostStart, &context.environment.expand_all(command))
        }
    }
}

/// A container, and what its fields are read with.
struct Context<'a, 'c> {
    catalogue: &'c Catalogue,
    container: &'a Container<'a>,
    files: Files<'c>,
    /// What may still be done for the object.
    effort: &'a Effort,
    image: Image<'a>,
    environment: Environment<'a>,
    /// What the name of the container says.
    by_name: Meaning,
    /// What the name of the image says.
    by_image: Meaning,
}

impl<'a, 'c: 'a> Context<'a, 'c> {
    fn new(
        catalogue: &'c Catalogue,
        container: &'a Container<'_>,
        files: Files<'c>,
        effort: &'a Effort,
    ) -> Self {
        let image = Image::parse(&container.image);
        let environment = Environment::of(container, files, effort);
        let by_name = names::meaning(&container.name);
        let by_image = names::meaning(image.basename());
        Self { catalogue, container, files, effort, image, environment, by_name, by_image }
    }

    /// What a command line does that stands in a field.
    fn run(&self, field: Field, argv: &[CompactString]) -> Account<'c> {
        self.account(field, |reader| {
            reader.program(argv, &[], &self.environment.shell(), &Stdin::None);
        })
    }

    /// What is found by a reader that may do what is left of the effort.
    fn account(&self, field: Field, read: impl FnOnce(&mut Reader<'c>)) -> Account<'c> {
        let granted = self.effort.grant();
        let mut reader = Reader::new(self.catalogue, self.files, field, granted);
        read(&mut reader);
        self.effort.settle(granted, reader.left());
        Account::of(reader)
    }

    fn main_command(&self, owner: Option<&str>) -> Account<'c> {
        let Self { catalogue, container, files, image, .. } = self;
        let has_command = !container.command.is_empty() || container.source.is_some();
        let tool = (!has_command).then(|| catalogue.by_image(image)).flatten();
        let mut account = if has_command {
            self.command()
        } else if let Some((path, _)) = files.entrypoint() {
            self.entrypoint(path)
        } else if let Some(tool) =
            tool.filter(|tool| tool.ignores_args || container.args.is_empty())
        {
            self.image(tool)
        } else if container.args.is_empty() {
            Account::nothing()
        } else if self.by_image == Meaning::Waiting {
            // The arguments of a program that waits name what it waits for.
            Account { serves_after: false, ..Account::nothing() }
        } else {
            self.arguments(tool)
        };
        account.variables(self, tool);
        account.hidden_command(self, owner);
        account.names(self, owner);
        account
    }

    /// `command` replaces the image's entrypoint; `args` follow it.
    fn command(&self) -> Account<'c> {
        let Self { container, environment, .. } = self;
        let shell = environment.shell();
        let mut argv = environment.expand_all(&container.command);
        if let Some(source) = &container.source {
            let name = argv.first().map_or("sh", |program| basename(program));
            return self.account(Field::Source, |reader| {
                if name.ends_with("sh") {
                    reader.script(source, &mut shell.clone(), &Stdin::None);
                } else {
                    reader.code(source, &shell);
                }
            });
        }
        let args_at = argv.len();
        argv.extend(environment.expand_all(&container.args));
        self.account(Field::Command, |reader| {
            reader.args_at = Some(args_at);
            reader.program(&argv, &[], &shell, &Stdin::None);
        })
    }

    /// A script that is mounted over the image's entrypoint is what runs.
    fn entrypoint(&self, path: &str) -> Account<'c> {
        let mut argv = vec![path.into()];
        argv.extend(self.environment.expand_all(&self.container.args));
        self.run(Field::Mounts, &argv)
    }

    /// With `args` alone the image's own entrypoint runs.
    fn arguments(&self, tool: Option<&'c Tool>) -> Account<'c> {
        let Self { catalogue, image, .. } = self;
        let args = self.environment.expand_all(&self.container.args);
        let first = args.first().map(|word| basename(word)).unwrap_or_default();
        let is_other = !catalogue.knows(first) || first == "migrate";
        if let Some(entrypoint) = tool.and_then(|tool| tool.entrypoint(image)) {
            let whole: Vec<CompactString> = std::iter::once(CompactString::from(entrypoint))
                .chain(args.iter().cloned())
                .collect();
            let account = self.run(Field::Args, &whole);
            if !account.found.is_empty() && is_other {
                return account;
            }
        } else if is_other && let Some((operation, confidence, words)) = names::verb(&args) {
            // The words are arguments of a program that nobody named.
            let program = Some(image.basename()).filter(|name| is_plain(name)).unwrap_or("program");
            return self.account(Field::Args, |reader| {
                reader.found(UNKNOWN_TOOL, operation, confidence, format!("{program} {words}"));
            });
        }
        if first == "migrate" && args.len() > 1 && tool.is_none() {
            // `migrate` of a program that migrates something else, such as stored Kubernetes
            // objects.
            return Account::nothing();
        }
        self.run(Field::Args, &args)
    }

    /// Adds what folders of migrations show to what an image or a variable says.
    fn refine(&self, tool: &Tool, found: &mut Found<'c>) {
        let granted = self.effort.grant();
        let mut left = granted;
        self.environment.refine(tool, found, self.files, &mut left.folders);
        self.effort.settle(granted, left);
    }

    /// What an image does by itself.
    fn image(&self, tool: &'c Tool) -> Account<'c> {
        let mut found = tool.image_default.map(|operation| {
            let confidence = tool.ceiling.min(Confidence::Image);
            Found::of(&tool.id, operation, confidence, self.image.basename(), Field::Image)
        });
        if let Some(found) = &mut found {
            self.refine(tool, found);
        }
        // An image that is known and does nothing by itself says more than its name.
        Account { found: found.into_iter().collect(), serves_after: false, hidden: None }
    }
}

impl<'c> Account<'c> {
    fn nothing() -> Self {
        Self { found: Vec::new(), serves_after: true, hidden: None }
    }

    fn of(reader: Reader<'c>) -> Self {
        let last = reader
            .steps
            .iter()
            .rposition(|step| matches!(step, Step::Found(found) if found.operation.is_migration()));
        let serves_after = reader
            .steps
            .iter()
            .skip(last.map_or(0, |at| at.saturating_add(1)))
            .any(|step| matches!(step, Step::Other | Step::Hidden));
        let is_hidden = reader.steps.iter().any(|step| matches!(step, Step::Hidden));
        let hidden = is_hidden.then_some(reader.field);
        let doubtful = reader.doubtful;
        let found = reader
            .steps
            .into_iter()
            .filter_map(|step| match step {
                Step::Found(mut found) => {
                    if doubtful && found.operation.is_migration() {
                        // What was not read may do more than what was.
                        found.operation = found.operation.max(Operation::Unknown);
                    }
                    Some(found)
                }
                Step::Harmless | Step::Other | Step::Hidden => None,
            })
            .collect();
        Self { found, serves_after, hidden }
    }

    fn migrates(&self) -> bool {
        self.found.iter().any(|found| found.operation.is_migration())
    }

    /// Adds what variables say, wherever the manifests show their values.
    fn variables(&mut self, context: &Context<'_, 'c>, tool: Option<&'c Tool>) {
        let Context { catalogue, environment, .. } = context;
        let is_on = |value: &str| {
            ["1", "true", "yes", "on"].iter().any(|on| value.eq_ignore_ascii_case(on))
        };
        let tells = |Variable { name, value, .. }: &Variable<'_>| {
            !catalogue.by_variable(name).is_empty()
                || value.as_deref().is_some_and(|value| {
                    setting::may_be_found(catalogue, name, value)
                        || (is_on(value) && SWITCHES.contains(&name.as_ref()))
                })
        };
        for Variable { name, value, field } in environment.telling(tells) {
            let (name, value, field) = (name.as_ref(), value.as_deref(), *field);
            for rule in catalogue.by_variable(name) {
                self.rule(catalogue, tool, rule, (name, value), field);
            }
            let Some(value) = value else { continue };
            let found = setting::found(catalogue, name, value, field, Confidence::Env);
            self.found.extend(found);
            if is_on(value) && SWITCHES.contains(&name) {
                let (operation, confidence) = (Operation::Unknown, Confidence::Name);
                self.found.push(Found::of(UNKNOWN_TOOL, operation, confidence, name, field));
            }
        }
        for found in &mut self.found {
            if matches!(found.field, Field::Env(_) | Field::EnvFrom(_))
                && let Some(tool) = catalogue.by_id(found.tool)
            {
                context.refine(tool, found);
            }
        }
    }

    /// Adds what one rule of the catalogue says about a variable.
    fn rule(
        &mut self,
        catalogue: &'c Catalogue,
        tool: Option<&'c Tool>,
        rule: &EnvRule,
        (name, value): (&str, Option<&str>),
        field: Field,
    ) {
        let Some(owner) = catalogue.tool(rule.tool) else { return };
        let operation = if rule.verb {
            if tool.is_none_or(|tool| tool.id != owner.id) {
                return;
            }
            // The value replaces what the image would do.
            self.found.retain(|found| found.confidence != Confidence::Image);
            let word = [value.map_or_else(|| HOLE.to_compact_string(), CompactString::from)];
            let arguments = Arguments::new(&word, owner);
            match arguments.verbs(owner).first() {
                Some(found) => Some(found.verb.operation),
                None => arguments.verb_is_hidden(owner).then_some(Operation::Unknown),
            }
        } else {
            value.and_then(|value| rule.operation(value))
        };
        if let Some(operation) = operation {
            let confidence = owner.ceiling.min(Confidence::Env);
            self.found.push(Found::of(&owner.id, operation, confidence, name, field));
        }
    }

    /// A command that nobody shows, in a container that is called a migration's or has the image
    /// of a migration tool: it is one, and what it does is not known.
    fn hidden_command(&mut self, context: &Context<'_, 'c>, owner: Option<&str>) {
        let Some(field) = self.hidden else { return };
        let is_sure = |found: &Found<'_>| {
            found.operation.is_migration() && found.confidence > Confidence::Name
        };
        if self.found.iter().any(is_sure) {
            return;
        }
        let Context { catalogue, image, by_name, by_image, .. } = context;
        let tool = catalogue.by_image(image).filter(|tool| !tool.general);
        let called = [*by_name, *by_image, names::meaning(owner.unwrap_or_default())];
        if called.contains(&Meaning::Waiting)
            || !(called.contains(&Meaning::Migration) || tool.is_some())
        {
            return;
        }
        self.found.push(Found {
            tool: tool.map_or(UNKNOWN_TOOL, |tool| &tool.id),
            operation: Operation::Unknown,
            confidence: tool.map_or(Confidence::Command, |tool| tool.ceiling),
            words: "hidden command".to_owned(),
            field,
            statements: Vec::new(),
            file: None,
            files: Vec::new(),
            from_words: false,
        });
    }

    /// Adds what names suggest, where the command is silent.
    fn names(&mut self, context: &Context<'_, 'c>, owner: Option<&str>) {
        let Context { container, image, by_name, by_image, .. } = context;
        if *by_name == Meaning::Migration || *by_image == Meaning::Migration {
            for found in &mut self.found {
                // A program that nobody knows, told to `migrate`, in a container called so.
                if found.tool == UNKNOWN_TOOL
                    && found.operation == Operation::Apply
                    && matches!(found.field, Field::Command | Field::Args)
                {
                    found.confidence = Confidence::Command;
                }
            }
        }
        if self.migrates() || !self.serves_after {
            return;
        }
        let owner = owner.unwrap_or_default();
        let (words, field) = match (*by_name, *by_image, names::meaning(owner)) {
            (Meaning::Waiting, ..) | (.., Meaning::Waiting) => return,
            (Meaning::Migration, ..) => (container.name.as_str(), Field::Name),
            (_, Meaning::Migration, _) => (image.basename(), Field::Image),
            (_, _, Meaning::Migration) => (owner, Field::Owner),
            _ if owner.is_empty() => return,
            _ => match hints::prepares_database(owner, container) {
                Some(Hint::Program(name)) => (name, Field::Command),
                Some(Hint::Variable(index)) => {
                    let name = container.env.get(index).map(|variable| variable.name.as_str());
                    (name.unwrap_or_default(), Field::Env(index))
                }
                Some(Hint::Container(name)) => (name, Field::Name),
                Some(Hint::Job(name)) => (name, Field::Owner),
                None => return,
            },
        };
        let (operation, confidence) = (Operation::Unknown, Confidence::Name);
        self.found.push(Found::of(UNKNOWN_TOOL, operation, confidence, words, field));
    }
}
