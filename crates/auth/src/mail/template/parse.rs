//! From tokens to a tree.

use super::Mistake;
use super::functions::Function;
use super::lex::{Kind, Token};

/// How deep blocks and parentheses may nest.
const DEPTH_MAX: usize = 32;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Text(String),
    /// A value to show.
    Show(Pipeline, usize),
    /// `{{ $x := … }}` and `{{ $x = … }}`
    Set(String, Pipeline, bool),
    If {
        condition: Pipeline,
        then: Vec<Node>,
        otherwise: Vec<Node>,
        line: usize,
    },
    With {
        value: Pipeline,
        name: Option<String>,
        then: Vec<Node>,
        otherwise: Vec<Node>,
        line: usize,
    },
    Range {
        items: Pipeline,
        /// `$i, $e :=`, or only `$e :=`.
        index: Option<String>,
        item: Option<String>,
        body: Vec<Node>,
        otherwise: Vec<Node>,
        line: usize,
    },
}

/// Commands; the value of each is the last argument of the next.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pipeline(pub(super) Vec<Command>);

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Command {
    Value(Operand),
    Call(Function, Vec<Operand>),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Operand {
    Field(Vec<String>),
    Variable(String, Vec<String>),
    Constant(serde_json::Value),
    Nested(Pipeline),
}

pub(super) struct Parsed {
    pub(super) nodes: Vec<Node>,
    pub(super) fields: Vec<String>,
}

pub(super) fn parse(tokens: Vec<Token>) -> Result<Parsed, Mistake> {
    let mut parser = Parser {
        tokens: tokens.into_iter().peekable(),
        line: 1,
        depth: 0,
        rebound: 0,
        variables: Vec::new(),
        fields: Vec::new(),
    };
    let (nodes, end) = parser.block()?;
    if let Some(end) = end {
        let word = end.word();
        return Err(parser.wrong(format!("`{word}` without a block to belong to")));
    }
    Ok(Parsed {
        nodes,
        fields: parser.fields,
    })
}

/// What ended a block.
enum BlockEnd {
    End,
    Else,
    ElseIf(Pipeline),
}

impl BlockEnd {
    fn word(&self) -> &'static str {
        match self {
            Self::End => "end",
            Self::Else | Self::ElseIf(_) => "else",
        }
    }
}

struct Parser {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
    line: usize,
    depth: usize,
    /// How many `with` and `range` are around us: the dot is not the data.
    rebound: usize,
    variables: Vec<String>,
    fields: Vec<String>,
}

impl Parser {
    fn wrong(&self, what: impl Into<String>) -> Mistake {
        Mistake::new(self.line, what)
    }

    fn next(&mut self) -> Option<Kind> {
        let token = self.tokens.next()?;
        self.line = token.line;
        Some(token.kind)
    }

    fn peek(&mut self) -> Option<&Kind> {
        self.tokens.peek().map(|token| &token.kind)
    }

    fn take(&mut self, kind: &Kind) -> bool {
        let found = self.peek() == Some(kind);
        if found {
            self.next();
        }
        found
    }

    fn deeper(&mut self) -> Result<(), Mistake> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.wrong(format!("nested deeper than {DEPTH_MAX}")));
        }
        Ok(())
    }

    /// Nodes up to the end of the text or of the block.
    fn block(&mut self) -> Result<(Vec<Node>, Option<BlockEnd>), Mistake> {
        self.deeper()?;
        let known = self.variables.len();
        let mut nodes = Vec::new();
        let mut end = None;
        while let Some(kind) = self.next() {
            match kind {
                Kind::Text(text) => nodes.push(Node::Text(text)),
                // The lexer puts nothing else outside of braces.
                _ => match self.action()? {
                    Ok(node) => nodes.push(node),
                    Err(found) => {
                        end = Some(found);
                        break;
                    }
                },
            }
        }
        self.variables.truncate(known);
        self.depth -= 1;
        Ok((nodes, end))
    }

    /// What stands in braces: a node, or the end of the block around it.
    fn action(&mut self) -> Result<Result<Node, BlockEnd>, Mistake> {
        let line = self.line;
        let Some(Kind::Word(word)) = self.peek().cloned() else {
            return self.show_or_set(line).map(Ok);
        };
        match word.as_str() {
            "if" => {
                self.next();
                let condition = self.pipeline(true)?;
                self.if_block(condition, line).map(Ok)
            }
            "with" => {
                self.next();
                self.with_block(line).map(Ok)
            }
            "range" => {
                self.next();
                self.range_block(line).map(Ok)
            }
            "end" => {
                self.next();
                self.close()?;
                Ok(Err(BlockEnd::End))
            }
            "else" => {
                self.next();
                if self.take(&Kind::Word("if".to_owned())) {
                    return Ok(Err(BlockEnd::ElseIf(self.pipeline(true)?)));
                }
                self.close()?;
                Ok(Err(BlockEnd::Else))
            }
            "define" | "template" | "block" | "break" | "continue" => {
                Err(self.wrong(format!("`{word}` is not supported in mail templates")))
            }
            _ => self.show_or_set(line).map(Ok),
        }
    }

    fn close(&mut self) -> Result<(), Mistake> {
        if self.take(&Kind::Close) {
            return Ok(());
        }
        Err(self.wrong("something is left before `}}`"))
    }

    fn if_block(&mut self, condition: Pipeline, line: usize) -> Result<Node, Mistake> {
        let (then, end) = self.block()?;
        let otherwise = self.otherwise(end, "if", line)?;
        Ok(Node::If {
            condition,
            then,
            otherwise,
            line,
        })
    }

    fn otherwise(
        &mut self,
        end: Option<BlockEnd>,
        what: &str,
        line: usize,
    ) -> Result<Vec<Node>, Mistake> {
        match end {
            Some(BlockEnd::End) => Ok(Vec::new()),
            Some(BlockEnd::Else) => match self.block()? {
                (nodes, Some(BlockEnd::End)) => Ok(nodes),
                _ => Err(Mistake::new(line, format!("`{what}` without `end`"))),
            },
            Some(BlockEnd::ElseIf(condition)) if what == "if" => {
                self.deeper()?;
                let line = self.line;
                let node = self.if_block(condition, line)?;
                self.depth -= 1;
                Ok(vec![node])
            }
            Some(BlockEnd::ElseIf(_)) => {
                Err(self.wrong(format!("`else if` does not belong to `{what}`")))
            }
            None => Err(Mistake::new(line, format!("`{what}` without `end`"))),
        }
    }

    fn with_block(&mut self, line: usize) -> Result<Node, Mistake> {
        let known = self.variables.len();
        let mut names = self.declared()?;
        if names.len() > 1 {
            return Err(self.wrong("`with` declares one variable"));
        }
        let value = self.pipeline(true)?;
        self.variables.extend(names.iter().cloned());
        self.rebound += 1;
        let (then, end) = self.block()?;
        self.rebound -= 1;
        let otherwise = self.otherwise(end, "with", line)?;
        self.variables.truncate(known);
        Ok(Node::With {
            value,
            name: names.pop(),
            then,
            otherwise,
            line,
        })
    }

    fn range_block(&mut self, line: usize) -> Result<Node, Mistake> {
        let known = self.variables.len();
        let mut names = self.declared()?;
        let items = self.pipeline(true)?;
        self.variables.extend(names.iter().cloned());
        self.rebound += 1;
        let (body, end) = self.block()?;
        self.rebound -= 1;
        let otherwise = self.otherwise(end, "range", line)?;
        self.variables.truncate(known);
        let item = names.pop();
        Ok(Node::Range {
            items,
            index: names.pop(),
            item,
            body,
            otherwise,
            line,
        })
    }

    /// `$x :=` or `$i, $x :=`, when they stand there.
    fn declared(&mut self) -> Result<Vec<String>, Mistake> {
        let ahead: Vec<Kind> = self
            .tokens
            .clone()
            .take(4)
            .map(|token| token.kind)
            .collect();
        let (names, tokens) = match ahead.as_slice() {
            [Kind::Variable(a, rest), Kind::Declare, ..] if rest.is_empty() => (vec![a.clone()], 2),
            [
                Kind::Variable(a, x),
                Kind::Comma,
                Kind::Variable(b, y),
                Kind::Declare,
            ] if x.is_empty() && y.is_empty() => (vec![a.clone(), b.clone()], 4),
            _ => return Ok(Vec::new()),
        };
        for _ in 0..tokens {
            self.next();
        }
        if names.iter().any(String::is_empty) {
            return Err(self.wrong("`$` itself cannot be set"));
        }
        Ok(names)
    }

    fn show_or_set(&mut self, line: usize) -> Result<Node, Mistake> {
        let mut names = self.declared()?;
        if let Some(name) = names.pop() {
            if !names.is_empty() {
                return Err(self.wrong("only `range` sets two variables"));
            }
            let value = self.pipeline(true)?;
            self.variables.push(name.clone());
            return Ok(Node::Set(name, value, true));
        }
        let ahead: Vec<Kind> = self.tokens.clone().take(2).map(|t| t.kind).collect();
        if let [Kind::Variable(name, rest), Kind::Assign] = ahead.as_slice()
            && rest.is_empty()
        {
            self.known(name)?;
            self.next();
            self.next();
            return Ok(Node::Set(name.clone(), self.pipeline(true)?, false));
        }
        Ok(Node::Show(self.pipeline(true)?, line))
    }

    fn known(&self, name: &String) -> Result<(), Mistake> {
        if name.is_empty() || self.variables.contains(name) {
            return Ok(());
        }
        Err(self.wrong(format!("undefined variable ${name}")))
    }

    /// Up to and with `}}`, or `)` inside parentheses.
    fn pipeline(&mut self, outer: bool) -> Result<Pipeline, Mistake> {
        self.deeper()?;
        let mut commands = vec![self.command(true)?];
        let end = if outer { Kind::Close } else { Kind::RightParen };
        loop {
            if self.take(&end) {
                self.depth -= 1;
                return Ok(Pipeline(commands));
            }
            if !self.take(&Kind::Pipe) {
                return Err(self.wrong("a value or a function with its arguments was expected"));
            }
            commands.push(self.command(false)?);
        }
    }

    fn command(&mut self, first: bool) -> Result<Command, Mistake> {
        if let Some(Kind::Word(word)) = self.peek().cloned()
            && !matches!(word.as_str(), "true" | "false" | "nil")
        {
            self.next();
            let function = Function::named(&word)
                .ok_or_else(|| self.wrong(format!("function {word:?} is not defined")))?;
            let mut arguments = Vec::new();
            while let Some(operand) = self.operand()? {
                arguments.push(operand);
            }
            let given = arguments.len() + usize::from(!first);
            if !function.takes(given) {
                return Err(self.wrong(format!("{word} does not take {given} arguments")));
            }
            return Ok(Command::Call(function, arguments));
        }
        match self.operand()? {
            Some(operand) if first => Ok(Command::Value(operand)),
            Some(_) => Err(self.wrong("only a function can stand behind `|`")),
            None => Err(self.wrong("a value is missing")),
        }
    }

    fn operand(&mut self) -> Result<Option<Operand>, Mistake> {
        let operand = match self.peek().cloned() {
            Some(Kind::Field(names)) => {
                if self.rebound == 0 {
                    self.note(&names);
                }
                Operand::Field(names)
            }
            Some(Kind::Variable(name, names)) => {
                self.known(&name)?;
                if name.is_empty() {
                    self.note(&names);
                }
                Operand::Variable(name, names)
            }
            Some(Kind::Quoted(text)) => Operand::Constant(text.into()),
            Some(Kind::Number(number)) => Operand::Constant(whole(number)),
            Some(Kind::Word(word)) => match word.as_str() {
                "true" => Operand::Constant(true.into()),
                "false" => Operand::Constant(false.into()),
                "nil" => Operand::Constant(serde_json::Value::Null),
                _ => return Err(self.wrong(format!("put `{word} …` into parentheses"))),
            },
            Some(Kind::LeftParen) => {
                self.next();
                return Ok(Some(Operand::Nested(self.pipeline(false)?)));
            }
            _ => return Ok(None),
        };
        self.next();
        Ok(Some(operand))
    }

    fn note(&mut self, names: &[String]) {
        if let Some(first) = names.first()
            && !self.fields.contains(first)
        {
            self.fields.push(first.clone());
        }
    }
}

/// `3` rather than `3.0`.
fn whole(number: f64) -> serde_json::Value {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "only kept when nothing was lost"
    )]
    let integer = number as i64;
    #[expect(clippy::cast_precision_loss, reason = "only to see what was lost")]
    let same = (integer as f64 - number).abs() < f64::EPSILON;
    if same { integer.into() } else { number.into() }
}
