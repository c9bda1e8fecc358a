export type Json =
  | string
  | number
  | boolean
  | null
  | { [key: string]: Json | undefined }
  | Json[]

export type Database = {
  empty: {
    Tables: {
      [_ in never]: never
    }
    Views: {
      [_ in never]: never
    }
    Functions: {
      [_ in never]: never
    }
    Enums: {
      [_ in never]: never
    }
    CompositeTypes: {
      [_ in never]: never
    }
  }
  other: {
    Tables: {
      mood_log: {
        Row: {
          id: number
          m: Database["other"]["Enums"]["mood"] | null
          note_id: number | null
          pm: Database["public"]["Enums"]["mood"] | null
        }
        ComputedFields: never
        Insert: {
          id: number
          m?: Database["other"]["Enums"]["mood"] | null
          note_id?: number | null
          pm?: Database["public"]["Enums"]["mood"] | null
        }
        Update: {
          id?: number
          m?: Database["other"]["Enums"]["mood"] | null
          note_id?: number | null
          pm?: Database["public"]["Enums"]["mood"] | null
        }
        Relationships: [
          {
            foreignKeyName: "mood_log_note_id_fkey"
            columns: ["note_id"]
            isOneToOne: false
            referencedRelation: "notes"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "mood_log_note_id_fkey"
            columns: ["note_id"]
            isOneToOne: false
            referencedRelation: "nv"
            referencedColumns: ["id"]
          },
        ]
      }
      notes: {
        Row: {
          id: number
          status: Database["other"]["Enums"]["status"]
          user_id: number | null
          user_of: Database["public"]["Tables"]["users"]["Row"] | null
        }
        ComputedFields: "user_of"
        Insert: {
          id: number
          status: Database["other"]["Enums"]["status"]
          user_id?: number | null
        }
        Update: {
          id?: number
          status?: Database["other"]["Enums"]["status"]
          user_id?: number | null
        }
        Relationships: []
      }
      uses_public: {
        Row: {
          book: number | null
          id: number
        }
        ComputedFields: never
        Insert: {
          book?: number | null
          id: number
        }
        Update: {
          book?: number | null
          id?: number
        }
        Relationships: [
          {
            foreignKeyName: "uses_public_book_fkey"
            columns: ["book"]
            isOneToOne: false
            referencedRelation: "books"
            referencedColumns: ["id"]
          },
        ]
      }
    }
    Views: {
      books: {
        Row: {
          id: number
          title: string
        }
        ComputedFields: never
        Insert: {
          id?: number | null
          title?: string | null
        }
        Update: {
          id?: number | null
          title?: string | null
        }
        Relationships: []
      }
      nv: {
        Row: {
          id: number
          status: Database["other"]["Enums"]["status"]
          user_id: number | null
        }
        ComputedFields: never
        Insert: {
          id?: number | null
          status?: Database["other"]["Enums"]["status"] | null
          user_id?: number | null
        }
        Update: {
          id?: number | null
          status?: Database["other"]["Enums"]["status"] | null
          user_id?: number | null
        }
        Relationships: []
      }
    }
    Functions: {
      takes_user: {
        Args: { "": Database["public"]["Tables"]["users"]["Row"] }
        Returns: {
          error: true
        } & "the function other.takes_user with parameter or with a single unnamed json/jsonb parameter, but no matches were found in the schema cache"
      }
      user_of: {
        Args: {
          n: Omit<
            Database["other"]["Tables"]["notes"]["Row"],
            Database["other"]["Tables"]["notes"]["ComputedFields"]
          >
        }
        Returns: Database["public"]["Tables"]["users"]["Row"]
        SetofOptions: {
          from: "other.notes"
          to: "users"
          isOneToOne: true
          isSetofReturn: true
        }
      }
    }
    Enums: {
      mood: "grim"
      status: "on" | "off"
    }
    CompositeTypes: {
      address: {
        only_other: number | null
      }
      point3: {
        x: number | null
        y: number | null
        z: number | null
      }
    }
  }
  public: {
    Tables: {
      _zebra: {
        Row: {
          a: number | null
        }
        ComputedFields: never
        Insert: {
          a?: number | null
        }
        Update: {
          a?: number | null
        }
        Relationships: []
      }
      $x: {
        Row: {
          a: number | null
        }
        ComputedFields: never
        Insert: {
          a?: number | null
        }
        Update: {
          a?: number | null
        }
        Relationships: []
      }
      a: {
        Row: {
          a: number | null
        }
        ComputedFields: never
        Insert: {
          a?: number | null
        }
        Update: {
          a?: number | null
        }
        Relationships: []
      }
      A: {
        Row: {
          a: number | null
        }
        ComputedFields: never
        Insert: {
          a?: number | null
        }
        Update: {
          a?: number | null
        }
        Relationships: []
      }
      a1: {
        Row: {
          a: number | null
        }
        ComputedFields: never
        Insert: {
          a?: number | null
        }
        Update: {
          a?: number | null
        }
        Relationships: []
      }
      a10: {
        Row: {
          a: number | null
        }
        ComputedFields: never
        Insert: {
          a?: number | null
        }
        Update: {
          a?: number | null
        }
        Relationships: []
      }
      a2: {
        Row: {
          a: number | null
        }
        ComputedFields: never
        Insert: {
          a?: number | null
        }
        Update: {
          a?: number | null
        }
        Relationships: []
      }
      apfel: {
        Row: {
          a: number | null
        }
        ComputedFields: never
        Insert: {
          a?: number | null
        }
        Update: {
          a?: number | null
        }
        Relationships: []
      }
      Äpfel: {
        Row: {
          a: number | null
        }
        ComputedFields: never
        Insert: {
          a?: number | null
        }
        Update: {
          a?: number | null
        }
        Relationships: []
      }
      authors: {
        Row: {
          boss: number | null
          id: number
          name: string
          books_of: {
            author_id: number
            editor_id: number | null
            id: number
            price: number | null
            title: string
          } | null
          default_row: number | null
          field_hidden:
            | "a rather long label here"
            | "another rather long label"
            | "and a third one to break"
            | null
          field_json: Json | null
          field_out: Record<string, unknown> | null
          field_record: Record<string, unknown> | null
          field_void: undefined | null
          shown: string | null
        }
        ComputedFields:
          | "books_of"
          | "default_row"
          | "field_hidden"
          | "field_json"
          | "field_out"
          | "field_record"
          | "field_void"
          | "shown"
        Insert: {
          boss?: number | null
          id: number
          name: string
        }
        Update: {
          boss?: number | null
          id?: number
          name?: string
        }
        Relationships: [
          {
            foreignKeyName: "authors_boss_fkey"
            columns: ["boss"]
            isOneToOne: false
            referencedRelation: "authors"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "authors_boss_fkey"
            columns: ["boss"]
            isOneToOne: false
            referencedRelation: "v_left"
            referencedColumns: ["author_id"]
          },
          {
            foreignKeyName: "authors_boss_fkey"
            columns: ["boss"]
            isOneToOne: false
            referencedRelation: "v_mixed_join"
            referencedColumns: ["a"]
          },
          {
            foreignKeyName: "authors_boss_fkey"
            columns: ["boss"]
            isOneToOne: false
            referencedRelation: "v_mixed_join"
            referencedColumns: ["c"]
          },
          {
            foreignKeyName: "authors_boss_fkey"
            columns: ["boss"]
            isOneToOne: false
            referencedRelation: "v_twice"
            referencedColumns: ["one"]
          },
          {
            foreignKeyName: "authors_boss_fkey"
            columns: ["boss"]
            isOneToOne: false
            referencedRelation: "v_twice"
            referencedColumns: ["two"]
          },
        ]
      }
      B: {
        Row: {
          a: number | null
        }
        ComputedFields: never
        Insert: {
          a?: number | null
        }
        Update: {
          a?: number | null
        }
        Relationships: []
      }
      books: {
        Row: {
          author_id: number
          editor_id: number | null
          id: number
          price: number | null
          title: string
          shown: number | null
        }
        ComputedFields: "shown"
        Insert: {
          author_id: number
          editor_id?: number | null
          id: number
          price?: number | null
          title: string
        }
        Update: {
          author_id?: number
          editor_id?: number | null
          id?: number
          price?: number | null
          title?: string
        }
        Relationships: [
          {
            foreignKeyName: "books_author_id_fkey"
            columns: ["author_id"]
            isOneToOne: false
            referencedRelation: "authors"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "books_author_id_fkey"
            columns: ["author_id"]
            isOneToOne: false
            referencedRelation: "v_left"
            referencedColumns: ["author_id"]
          },
          {
            foreignKeyName: "books_author_id_fkey"
            columns: ["author_id"]
            isOneToOne: false
            referencedRelation: "v_mixed_join"
            referencedColumns: ["a"]
          },
          {
            foreignKeyName: "books_author_id_fkey"
            columns: ["author_id"]
            isOneToOne: false
            referencedRelation: "v_mixed_join"
            referencedColumns: ["c"]
          },
          {
            foreignKeyName: "books_author_id_fkey"
            columns: ["author_id"]
            isOneToOne: false
            referencedRelation: "v_twice"
            referencedColumns: ["one"]
          },
          {
            foreignKeyName: "books_author_id_fkey"
            columns: ["author_id"]
            isOneToOne: false
            referencedRelation: "v_twice"
            referencedColumns: ["two"]
          },
          {
            foreignKeyName: "books_editor_id_fkey"
            columns: ["editor_id"]
            isOneToOne: false
            referencedRelation: "authors"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "books_editor_id_fkey"
            columns: ["editor_id"]
            isOneToOne: false
            referencedRelation: "v_left"
            referencedColumns: ["author_id"]
          },
          {
            foreignKeyName: "books_editor_id_fkey"
            columns: ["editor_id"]
            isOneToOne: false
            referencedRelation: "v_mixed_join"
            referencedColumns: ["a"]
          },
          {
            foreignKeyName: "books_editor_id_fkey"
            columns: ["editor_id"]
            isOneToOne: false
            referencedRelation: "v_mixed_join"
            referencedColumns: ["c"]
          },
          {
            foreignKeyName: "books_editor_id_fkey"
            columns: ["editor_id"]
            isOneToOne: false
            referencedRelation: "v_twice"
            referencedColumns: ["one"]
          },
          {
            foreignKeyName: "books_editor_id_fkey"
            columns: ["editor_id"]
            isOneToOne: false
            referencedRelation: "v_twice"
            referencedColumns: ["two"]
          },
        ]
      }
      constructor: {
        Row: {
          __proto__: number
          "[x]": string | null
          ℘: string | null
          $: string | null
          "a;b": string | null
          "a'b": string | null
          "a'b\"c": string | null
          "a²": string | null
          ﬀ: string | null
          never: string | null
          Row: string | null
          "tab\ttab": string | null
          toString: string | null
          ＷＩＤＥ: string | null
        }
        ComputedFields: never
        Insert: {
          __proto__: number
          "[x]"?: string | null
          ℘?: string | null
          $?: string | null
          "a;b"?: string | null
          "a'b"?: string | null
          "a'b\"c"?: string | null
          "a²"?: string | null
          ﬀ?: string | null
          never?: string | null
          Row?: string | null
          "tab\ttab"?: string | null
          toString?: string | null
          ＷＩＤＥ?: string | null
        }
        Update: {
          __proto__?: number
          "[x]"?: string | null
          ℘?: string | null
          $?: string | null
          "a;b"?: string | null
          "a'b"?: string | null
          "a'b\"c"?: string | null
          "a²"?: string | null
          ﬀ?: string | null
          never?: string | null
          Row?: string | null
          "tab\ttab"?: string | null
          toString?: string | null
          ＷＩＤＥ?: string | null
        }
        Relationships: []
      }
      events: {
        Row: {
          at: string
          id: number
          user_id: number | null
          takes_part: number | null
        }
        ComputedFields: "takes_part"
        Insert: {
          at: string
          id: number
          user_id?: number | null
        }
        Update: {
          at?: string
          id?: number
          user_id?: number | null
        }
        Relationships: [
          {
            foreignKeyName: "events_user_id_fkey"
            columns: ["user_id"]
            isOneToOne: false
            referencedRelation: "mat"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "events_user_id_fkey"
            columns: ["user_id"]
            isOneToOne: false
            referencedRelation: "partial_upd"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "events_user_id_fkey"
            columns: ["user_id"]
            isOneToOne: false
            referencedRelation: "users"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "events_user_id_fkey"
            columns: ["user_id"]
            isOneToOne: false
            referencedRelation: "users_v"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "events_user_id_fkey"
            columns: ["user_id"]
            isOneToOne: false
            referencedRelation: "users_vv"
            referencedColumns: ["uid"]
          },
        ]
      }
      events_2024: {
        Row: {
          at: string
          id: number
          user_id: number | null
        }
        ComputedFields: never
        Insert: {
          at: string
          id: number
          user_id?: number | null
        }
        Update: {
          at?: string
          id?: number
          user_id?: number | null
        }
        Relationships: []
      }
      ft: {
        Row: {
          id: number
          name: string | null
          ft_field: number | null
        }
        ComputedFields: "ft_field"
        Insert: {
          id: number
          name?: string | null
        }
        Update: {
          id?: number
          name?: string | null
        }
        Relationships: []
      }
      has_both: {
        Row: {
          a: Database["public"]["CompositeTypes"]["address"] | null
          b: Database["other"]["CompositeTypes"]["address"] | null
          c: Database["other"]["CompositeTypes"]["address"][] | null
          k: Database["public"]["Enums"]["constructor_kind"] | null
          r: Database["public"]["Tables"]["users"]["Row"] | null
          rs: Database["public"]["Tables"]["users"]["Row"][] | null
          w: Database["public"]["CompositeTypes"]["with_domain"] | null
          z: Database["public"]["Tables"]["zebra"]["Row"][] | null
        }
        ComputedFields: never
        Insert: {
          a?: Database["public"]["CompositeTypes"]["address"] | null
          b?: Database["other"]["CompositeTypes"]["address"] | null
          c?: Database["other"]["CompositeTypes"]["address"][] | null
          k?: Database["public"]["Enums"]["constructor_kind"] | null
          r?: Database["public"]["Tables"]["users"]["Row"] | null
          rs?: Database["public"]["Tables"]["users"]["Row"][] | null
          w?: Database["public"]["CompositeTypes"]["with_domain"] | null
          z?: Database["public"]["Tables"]["zebra"]["Row"][] | null
        }
        Update: {
          a?: Database["public"]["CompositeTypes"]["address"] | null
          b?: Database["other"]["CompositeTypes"]["address"] | null
          c?: Database["other"]["CompositeTypes"]["address"][] | null
          k?: Database["public"]["Enums"]["constructor_kind"] | null
          r?: Database["public"]["Tables"]["users"]["Row"] | null
          rs?: Database["public"]["Tables"]["users"]["Row"][] | null
          w?: Database["public"]["CompositeTypes"]["with_domain"] | null
          z?: Database["public"]["Tables"]["zebra"]["Row"][] | null
        }
        Relationships: []
      }
      hides: {
        Row: {
          h: "one" | "two" | null
          hs: ("one" | "two")[]
          l:
            | "a rather long label here"
            | "another rather long label"
            | "and a third one to break"
            | null
          ls:
            | (
                | "a rather long label here"
                | "another rather long label"
                | "and a third one to break"
              )[]
            | null
          n: "one" | "two"
          r: unknown
          t: unknown
        }
        ComputedFields: never
        Insert: {
          h?: "one" | "two" | null
          hs: ("one" | "two")[]
          l?:
            | "a rather long label here"
            | "another rather long label"
            | "and a third one to break"
            | null
          ls?:
            | (
                | "a rather long label here"
                | "another rather long label"
                | "and a third one to break"
              )[]
            | null
          n: "one" | "two"
          r?: unknown
          t?: unknown
        }
        Update: {
          h?: "one" | "two" | null
          hs?: ("one" | "two")[]
          l?:
            | "a rather long label here"
            | "another rather long label"
            | "and a third one to break"
            | null
          ls?:
            | (
                | "a rather long label here"
                | "another rather long label"
                | "and a third one to break"
              )[]
            | null
          n?: "one" | "two"
          r?: unknown
          t?: unknown
        }
        Relationships: []
      }
      no_columns: {
        Row: {}
        ComputedFields: never
        Insert: {}
        Update: {}
        Relationships: []
      }
      one_pair: {
        Row: {
          x: number
          y: number
        }
        ComputedFields: never
        Insert: {
          x: number
          y: number
        }
        Update: {
          x?: number
          y?: number
        }
        Relationships: [
          {
            foreignKeyName: "one_pair_x_y_fkey"
            columns: ["x", "y"]
            isOneToOne: true
            referencedRelation: "pairs"
            referencedColumns: ["a", "b"]
          },
          {
            foreignKeyName: "one_pair_x_y_fkey"
            columns: ["x", "y"]
            isOneToOne: true
            referencedRelation: "v_pairs"
            referencedColumns: ["a1", "b1"]
          },
          {
            foreignKeyName: "one_pair_x_y_fkey"
            columns: ["x", "y"]
            isOneToOne: true
            referencedRelation: "v_pairs"
            referencedColumns: ["a1", "b2"]
          },
          {
            foreignKeyName: "one_pair_x_y_fkey"
            columns: ["x", "y"]
            isOneToOne: true
            referencedRelation: "v_pairs"
            referencedColumns: ["a2", "b1"]
          },
          {
            foreignKeyName: "one_pair_x_y_fkey"
            columns: ["x", "y"]
            isOneToOne: true
            referencedRelation: "v_pairs"
            referencedColumns: ["a2", "b2"]
          },
        ]
      }
      one_pair_turned: {
        Row: {
          x: number
          y: number
        }
        ComputedFields: never
        Insert: {
          x: number
          y: number
        }
        Update: {
          x?: number
          y?: number
        }
        Relationships: [
          {
            foreignKeyName: "one_pair_turned_y_x_fkey"
            columns: ["y", "x"]
            isOneToOne: false
            referencedRelation: "pairs"
            referencedColumns: ["a", "b"]
          },
          {
            foreignKeyName: "one_pair_turned_y_x_fkey"
            columns: ["y", "x"]
            isOneToOne: false
            referencedRelation: "v_pairs"
            referencedColumns: ["a1", "b1"]
          },
          {
            foreignKeyName: "one_pair_turned_y_x_fkey"
            columns: ["y", "x"]
            isOneToOne: false
            referencedRelation: "v_pairs"
            referencedColumns: ["a1", "b2"]
          },
          {
            foreignKeyName: "one_pair_turned_y_x_fkey"
            columns: ["y", "x"]
            isOneToOne: false
            referencedRelation: "v_pairs"
            referencedColumns: ["a2", "b1"]
          },
          {
            foreignKeyName: "one_pair_turned_y_x_fkey"
            columns: ["y", "x"]
            isOneToOne: false
            referencedRelation: "v_pairs"
            referencedColumns: ["a2", "b2"]
          },
        ]
      }
      order_items: {
        Row: {
          line: number
          note: string
          num: number
          org: number
        }
        ComputedFields: never
        Insert: {
          line?: number
          note: string
          num: number
          org: number
        }
        Update: {
          line?: number
          note?: string
          num?: number
          org?: number
        }
        Relationships: [
          {
            foreignKeyName: "a_very_long_constraint_name_for_breaking_lines"
            columns: ["num", "org"]
            isOneToOne: false
            referencedRelation: "orders"
            referencedColumns: ["num", "org"]
          },
          {
            foreignKeyName: "a_very_long_constraint_name_for_breaking_lines"
            columns: ["num", "org"]
            isOneToOne: false
            referencedRelation: "orders_simple"
            referencedColumns: ["n", "o"]
          },
          {
            foreignKeyName: "a_very_long_constraint_name_for_breaking_lines"
            columns: ["num", "org"]
            isOneToOne: false
            referencedRelation: "orders_v"
            referencedColumns: ["num", "org"]
          },
          {
            foreignKeyName: "order_items_org_num_fkey"
            columns: ["org", "num"]
            isOneToOne: false
            referencedRelation: "orders"
            referencedColumns: ["org", "num"]
          },
          {
            foreignKeyName: "order_items_org_num_fkey"
            columns: ["org", "num"]
            isOneToOne: false
            referencedRelation: "orders_simple"
            referencedColumns: ["o", "n"]
          },
          {
            foreignKeyName: "order_items_org_num_fkey"
            columns: ["org", "num"]
            isOneToOne: false
            referencedRelation: "orders_v"
            referencedColumns: ["org", "num"]
          },
        ]
      }
      orders: {
        Row: {
          num: number
          org: number
          parent_num: number | null
          parent_org: number | null
          user_id: number | null
        }
        ComputedFields: never
        Insert: {
          num: number
          org: number
          parent_num?: number | null
          parent_org?: number | null
          user_id?: number | null
        }
        Update: {
          num?: number
          org?: number
          parent_num?: number | null
          parent_org?: number | null
          user_id?: number | null
        }
        Relationships: [
          {
            foreignKeyName: "orders_parent_fk"
            columns: ["parent_org", "parent_num"]
            isOneToOne: false
            referencedRelation: "orders"
            referencedColumns: ["org", "num"]
          },
          {
            foreignKeyName: "orders_parent_fk"
            columns: ["parent_org", "parent_num"]
            isOneToOne: false
            referencedRelation: "orders_simple"
            referencedColumns: ["o", "n"]
          },
          {
            foreignKeyName: "orders_parent_fk"
            columns: ["parent_org", "parent_num"]
            isOneToOne: false
            referencedRelation: "orders_v"
            referencedColumns: ["org", "num"]
          },
          {
            foreignKeyName: "orders_user_id_fkey"
            columns: ["user_id"]
            isOneToOne: true
            referencedRelation: "mat"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "orders_user_id_fkey"
            columns: ["user_id"]
            isOneToOne: true
            referencedRelation: "partial_upd"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "orders_user_id_fkey"
            columns: ["user_id"]
            isOneToOne: true
            referencedRelation: "users"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "orders_user_id_fkey"
            columns: ["user_id"]
            isOneToOne: true
            referencedRelation: "users_v"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "orders_user_id_fkey"
            columns: ["user_id"]
            isOneToOne: true
            referencedRelation: "users_vv"
            referencedColumns: ["uid"]
          },
        ]
      }
      pairs: {
        Row: {
          a: number
          b: number
          note: string | null
        }
        ComputedFields: never
        Insert: {
          a: number
          b: number
          note?: string | null
        }
        Update: {
          a?: number
          b?: number
          note?: string | null
        }
        Relationships: []
      }
      profiles: {
        Row: {
          bio: string | null
          bio_upper: string | null
          user_id: number
        }
        ComputedFields: never
        Insert: {
          bio?: string | null
          bio_upper?: never
          user_id: number
        }
        Update: {
          bio?: string | null
          bio_upper?: never
          user_id?: number
        }
        Relationships: [
          {
            foreignKeyName: "profiles_user_id_fkey"
            columns: ["user_id"]
            isOneToOne: true
            referencedRelation: "mat"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "profiles_user_id_fkey"
            columns: ["user_id"]
            isOneToOne: true
            referencedRelation: "partial_upd"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "profiles_user_id_fkey"
            columns: ["user_id"]
            isOneToOne: true
            referencedRelation: "users"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "profiles_user_id_fkey"
            columns: ["user_id"]
            isOneToOne: true
            referencedRelation: "users_v"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "profiles_user_id_fkey"
            columns: ["user_id"]
            isOneToOne: true
            referencedRelation: "users_vv"
            referencedColumns: ["uid"]
          },
        ]
      }
      "Quoted Table": {
        Row: {
          _under: number | null
          $dollar: string | null
          "1digit": number | null
          'a"b': string | null
          "a\\b": string | null
          camelCase: number | null
          class: string | null
          default: string | null
          "emoji😀": string | null
          function: boolean | null
          new: string | null
          select: number
          "Üml'aut": string | null
          valid_ident: string | null
          "with-dash": string | null
          日本: string | null
          quoted_tab: number | null
        }
        ComputedFields: "quoted_tab"
        Insert: {
          _under?: number | null
          $dollar?: string | null
          "1digit"?: number | null
          'a"b'?: string | null
          "a\\b"?: string | null
          camelCase?: number | null
          class?: string | null
          default?: string | null
          "emoji😀"?: string | null
          function?: boolean | null
          new?: string | null
          select: number
          "Üml'aut"?: string | null
          valid_ident?: string | null
          "with-dash"?: string | null
          日本?: string | null
        }
        Update: {
          _under?: number | null
          $dollar?: string | null
          "1digit"?: number | null
          'a"b'?: string | null
          "a\\b"?: string | null
          camelCase?: number | null
          class?: string | null
          default?: string | null
          "emoji😀"?: string | null
          function?: boolean | null
          new?: string | null
          select?: number
          "Üml'aut"?: string | null
          valid_ident?: string | null
          "with-dash"?: string | null
          日本?: string | null
        }
        Relationships: []
      }
      same_a: {
        Row: {
          id: number
          ref: number | null
        }
        ComputedFields: never
        Insert: {
          id: number
          ref?: number | null
        }
        Update: {
          id?: number
          ref?: number | null
        }
        Relationships: [
          {
            foreignKeyName: "same_fk"
            columns: ["ref"]
            isOneToOne: false
            referencedRelation: "authors"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "same_fk"
            columns: ["ref"]
            isOneToOne: false
            referencedRelation: "v_left"
            referencedColumns: ["author_id"]
          },
          {
            foreignKeyName: "same_fk"
            columns: ["ref"]
            isOneToOne: false
            referencedRelation: "v_mixed_join"
            referencedColumns: ["a"]
          },
          {
            foreignKeyName: "same_fk"
            columns: ["ref"]
            isOneToOne: false
            referencedRelation: "v_mixed_join"
            referencedColumns: ["c"]
          },
          {
            foreignKeyName: "same_fk"
            columns: ["ref"]
            isOneToOne: false
            referencedRelation: "v_twice"
            referencedColumns: ["one"]
          },
          {
            foreignKeyName: "same_fk"
            columns: ["ref"]
            isOneToOne: false
            referencedRelation: "v_twice"
            referencedColumns: ["two"]
          },
        ]
      }
      same_b: {
        Row: {
          id: number
          ref: number | null
        }
        ComputedFields: never
        Insert: {
          id: number
          ref?: number | null
        }
        Update: {
          id?: number
          ref?: number | null
        }
        Relationships: [
          {
            foreignKeyName: "same_fk"
            columns: ["ref"]
            isOneToOne: false
            referencedRelation: "authors"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "same_fk"
            columns: ["ref"]
            isOneToOne: false
            referencedRelation: "v_left"
            referencedColumns: ["author_id"]
          },
          {
            foreignKeyName: "same_fk"
            columns: ["ref"]
            isOneToOne: false
            referencedRelation: "v_mixed_join"
            referencedColumns: ["a"]
          },
          {
            foreignKeyName: "same_fk"
            columns: ["ref"]
            isOneToOne: false
            referencedRelation: "v_mixed_join"
            referencedColumns: ["c"]
          },
          {
            foreignKeyName: "same_fk"
            columns: ["ref"]
            isOneToOne: false
            referencedRelation: "v_twice"
            referencedColumns: ["one"]
          },
          {
            foreignKeyName: "same_fk"
            columns: ["ref"]
            isOneToOne: false
            referencedRelation: "v_twice"
            referencedColumns: ["two"]
          },
        ]
      }
      same_c: {
        Row: {
          id: number
          ref: number | null
        }
        ComputedFields: never
        Insert: {
          id: number
          ref?: number | null
        }
        Update: {
          id?: number
          ref?: number | null
        }
        Relationships: [
          {
            foreignKeyName: "same_fk"
            columns: ["ref"]
            isOneToOne: false
            referencedRelation: "books"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "same_fk"
            columns: ["ref"]
            isOneToOne: false
            referencedRelation: "m_on_view"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "same_fk"
            columns: ["ref"]
            isOneToOne: false
            referencedRelation: "v_cte"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "same_fk"
            columns: ["ref"]
            isOneToOne: false
            referencedRelation: "v_cte"
            referencedColumns: ["x"]
          },
          {
            foreignKeyName: "same_fk"
            columns: ["ref"]
            isOneToOne: false
            referencedRelation: "v_cte_deep"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "same_fk"
            columns: ["ref"]
            isOneToOne: false
            referencedRelation: "v_distinct"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "same_fk"
            columns: ["ref"]
            isOneToOne: false
            referencedRelation: "v_exists"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "same_fk"
            columns: ["ref"]
            isOneToOne: false
            referencedRelation: "v_full"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "same_fk"
            columns: ["ref"]
            isOneToOne: false
            referencedRelation: "v_inner"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "same_fk"
            columns: ["ref"]
            isOneToOne: false
            referencedRelation: "v_lateral"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "same_fk"
            columns: ["ref"]
            isOneToOne: false
            referencedRelation: "v_lateral_left"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "same_fk"
            columns: ["ref"]
            isOneToOne: false
            referencedRelation: "v_left"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "same_fk"
            columns: ["ref"]
            isOneToOne: false
            referencedRelation: "v_mixed_join"
            referencedColumns: ["b"]
          },
          {
            foreignKeyName: "same_fk"
            columns: ["ref"]
            isOneToOne: false
            referencedRelation: "v_nested_join"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "same_fk"
            columns: ["ref"]
            isOneToOne: false
            referencedRelation: "v_odd_names"
            referencedColumns: [":resno 5"]
          },
          {
            foreignKeyName: "same_fk"
            columns: ["ref"]
            isOneToOne: false
            referencedRelation: "v_odd_names"
            referencedColumns: ["a {b}"]
          },
          {
            foreignKeyName: "same_fk"
            columns: ["ref"]
            isOneToOne: false
            referencedRelation: "v_on_view"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "same_fk"
            columns: ["ref"]
            isOneToOne: false
            referencedRelation: "v_right"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "same_fk"
            columns: ["ref"]
            isOneToOne: false
            referencedRelation: "v_sub"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "same_fk"
            columns: ["ref"]
            isOneToOne: false
            referencedRelation: "v_through"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "same_fk"
            columns: ["ref"]
            isOneToOne: false
            referencedRelation: "v_using"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "same_fk"
            columns: ["ref"]
            isOneToOne: false
            referencedRelation: "v_using_left"
            referencedColumns: ["id"]
          },
        ]
      }
      tags: {
        Row: {
          id: number
          name: string | null
        }
        ComputedFields: never
        Insert: {
          id?: number
          name?: string | null
        }
        Update: {
          id?: number
          name?: string | null
        }
        Relationships: []
      }
      unique_ref: {
        Row: {
          author: number | null
          book: number | null
          id: number
        }
        ComputedFields: never
        Insert: {
          author?: number | null
          book?: number | null
          id: number
        }
        Update: {
          author?: number | null
          book?: number | null
          id?: number
        }
        Relationships: [
          {
            foreignKeyName: "unique_ref_author_fkey"
            columns: ["author"]
            isOneToOne: true
            referencedRelation: "authors"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "unique_ref_author_fkey"
            columns: ["author"]
            isOneToOne: true
            referencedRelation: "v_left"
            referencedColumns: ["author_id"]
          },
          {
            foreignKeyName: "unique_ref_author_fkey"
            columns: ["author"]
            isOneToOne: true
            referencedRelation: "v_mixed_join"
            referencedColumns: ["a"]
          },
          {
            foreignKeyName: "unique_ref_author_fkey"
            columns: ["author"]
            isOneToOne: true
            referencedRelation: "v_mixed_join"
            referencedColumns: ["c"]
          },
          {
            foreignKeyName: "unique_ref_author_fkey"
            columns: ["author"]
            isOneToOne: true
            referencedRelation: "v_twice"
            referencedColumns: ["one"]
          },
          {
            foreignKeyName: "unique_ref_author_fkey"
            columns: ["author"]
            isOneToOne: true
            referencedRelation: "v_twice"
            referencedColumns: ["two"]
          },
          {
            foreignKeyName: "unique_ref_book_fkey"
            columns: ["book"]
            isOneToOne: false
            referencedRelation: "books"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "unique_ref_book_fkey"
            columns: ["book"]
            isOneToOne: false
            referencedRelation: "m_on_view"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "unique_ref_book_fkey"
            columns: ["book"]
            isOneToOne: false
            referencedRelation: "v_cte"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "unique_ref_book_fkey"
            columns: ["book"]
            isOneToOne: false
            referencedRelation: "v_cte"
            referencedColumns: ["x"]
          },
          {
            foreignKeyName: "unique_ref_book_fkey"
            columns: ["book"]
            isOneToOne: false
            referencedRelation: "v_cte_deep"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "unique_ref_book_fkey"
            columns: ["book"]
            isOneToOne: false
            referencedRelation: "v_distinct"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "unique_ref_book_fkey"
            columns: ["book"]
            isOneToOne: false
            referencedRelation: "v_exists"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "unique_ref_book_fkey"
            columns: ["book"]
            isOneToOne: false
            referencedRelation: "v_full"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "unique_ref_book_fkey"
            columns: ["book"]
            isOneToOne: false
            referencedRelation: "v_inner"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "unique_ref_book_fkey"
            columns: ["book"]
            isOneToOne: false
            referencedRelation: "v_lateral"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "unique_ref_book_fkey"
            columns: ["book"]
            isOneToOne: false
            referencedRelation: "v_lateral_left"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "unique_ref_book_fkey"
            columns: ["book"]
            isOneToOne: false
            referencedRelation: "v_left"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "unique_ref_book_fkey"
            columns: ["book"]
            isOneToOne: false
            referencedRelation: "v_mixed_join"
            referencedColumns: ["b"]
          },
          {
            foreignKeyName: "unique_ref_book_fkey"
            columns: ["book"]
            isOneToOne: false
            referencedRelation: "v_nested_join"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "unique_ref_book_fkey"
            columns: ["book"]
            isOneToOne: false
            referencedRelation: "v_odd_names"
            referencedColumns: [":resno 5"]
          },
          {
            foreignKeyName: "unique_ref_book_fkey"
            columns: ["book"]
            isOneToOne: false
            referencedRelation: "v_odd_names"
            referencedColumns: ["a {b}"]
          },
          {
            foreignKeyName: "unique_ref_book_fkey"
            columns: ["book"]
            isOneToOne: false
            referencedRelation: "v_on_view"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "unique_ref_book_fkey"
            columns: ["book"]
            isOneToOne: false
            referencedRelation: "v_right"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "unique_ref_book_fkey"
            columns: ["book"]
            isOneToOne: false
            referencedRelation: "v_sub"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "unique_ref_book_fkey"
            columns: ["book"]
            isOneToOne: false
            referencedRelation: "v_through"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "unique_ref_book_fkey"
            columns: ["book"]
            isOneToOne: false
            referencedRelation: "v_using"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "unique_ref_book_fkey"
            columns: ["book"]
            isOneToOne: false
            referencedRelation: "v_using_left"
            referencedColumns: ["id"]
          },
        ]
      }
      users: {
        Row: {
          addr: Database["public"]["CompositeTypes"]["address"] | null
          addrs: Database["public"]["CompositeTypes"]["address"][] | null
          age: number | null
          b: string | null
          bits: unknown
          ch: string | null
          char: unknown
          created_at: string
          dd: unknown
          email: string | null
          extra: Json | null
          fr: unknown
          i: unknown
          id: number
          iv: string | null
          lab: string[] | null
          m: Database["public"]["Enums"]["mood"] | null
          meta: NonNullable<Json>
          mon: unknown
          moods: Database["public"]["Enums"]["mood"][] | null
          mr: unknown
          nam: unknown
          name: string
          nn: string
          o: Database["other"]["Enums"]["status"] | null
          oidc: unknown
          om: Database["other"]["Enums"]["mood"][] | null
          p3: Database["other"]["CompositeTypes"]["point3"] | null
          pt: unknown
          r: unknown
          ts: unknown
          tt: string | null
          two: number[] | null
          u: string | null
          x: unknown
          full_name: string | null
          full_name_named: string | null
          user_addr: Database["public"]["CompositeTypes"]["address"] | null
          user_orders: {
            num: number
            org: number
            parent_num: number | null
            parent_org: number | null
            user_id: number | null
          } | null
          user_orders_named: {
            num: number
            org: number
            parent_num: number | null
            parent_org: number | null
            user_id: number | null
          } | null
          user_profile: {
            bio: string | null
            bio_upper: string | null
            user_id: number
          } | null
          user_profile_one: {
            bio: string | null
            bio_upper: string | null
            user_id: number
          } | null
          user_setof_int: number | null
          user_tab: {
            a: number
            b: string
          } | null
        }
        ComputedFields:
          | "full_name"
          | "full_name_named"
          | "user_addr"
          | "user_orders"
          | "user_orders_named"
          | "user_profile"
          | "user_profile_one"
          | "user_setof_int"
          | "user_tab"
        Insert: {
          addr?: Database["public"]["CompositeTypes"]["address"] | null
          addrs?: Database["public"]["CompositeTypes"]["address"][] | null
          age?: number | null
          b?: string | null
          bits?: unknown
          ch?: string | null
          char?: unknown
          created_at?: string
          dd?: unknown
          email?: string | null
          extra?: Json | null
          fr?: unknown
          i?: unknown
          id?: never
          iv?: string | null
          lab?: string[] | null
          m?: Database["public"]["Enums"]["mood"] | null
          meta?: NonNullable<Json>
          mon?: unknown
          moods?: Database["public"]["Enums"]["mood"][] | null
          mr?: unknown
          nam?: unknown
          name: string
          nn: string
          o?: Database["other"]["Enums"]["status"] | null
          oidc?: unknown
          om?: Database["other"]["Enums"]["mood"][] | null
          p3?: Database["other"]["CompositeTypes"]["point3"] | null
          pt?: unknown
          r?: unknown
          ts?: unknown
          tt?: string | null
          two?: number[] | null
          u?: string | null
          x?: unknown
        }
        Update: {
          addr?: Database["public"]["CompositeTypes"]["address"] | null
          addrs?: Database["public"]["CompositeTypes"]["address"][] | null
          age?: number | null
          b?: string | null
          bits?: unknown
          ch?: string | null
          char?: unknown
          created_at?: string
          dd?: unknown
          email?: string | null
          extra?: Json | null
          fr?: unknown
          i?: unknown
          id?: never
          iv?: string | null
          lab?: string[] | null
          m?: Database["public"]["Enums"]["mood"] | null
          meta?: NonNullable<Json>
          mon?: unknown
          moods?: Database["public"]["Enums"]["mood"][] | null
          mr?: unknown
          nam?: unknown
          name?: string
          nn?: string
          o?: Database["other"]["Enums"]["status"] | null
          oidc?: unknown
          om?: Database["other"]["Enums"]["mood"][] | null
          p3?: Database["other"]["CompositeTypes"]["point3"] | null
          pt?: unknown
          r?: unknown
          ts?: unknown
          tt?: string | null
          two?: number[] | null
          u?: string | null
          x?: unknown
        }
        Relationships: []
      }
      users_tags: {
        Row: {
          tag_id: number
          user_id: number
        }
        ComputedFields: never
        Insert: {
          tag_id: number
          user_id: number
        }
        Update: {
          tag_id?: number
          user_id?: number
        }
        Relationships: [
          {
            foreignKeyName: "users_tags_tag_id_fkey"
            columns: ["tag_id"]
            isOneToOne: false
            referencedRelation: "tags"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "users_tags_user_id_fkey"
            columns: ["user_id"]
            isOneToOne: false
            referencedRelation: "mat"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "users_tags_user_id_fkey"
            columns: ["user_id"]
            isOneToOne: false
            referencedRelation: "partial_upd"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "users_tags_user_id_fkey"
            columns: ["user_id"]
            isOneToOne: false
            referencedRelation: "users"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "users_tags_user_id_fkey"
            columns: ["user_id"]
            isOneToOne: false
            referencedRelation: "users_v"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "users_tags_user_id_fkey"
            columns: ["user_id"]
            isOneToOne: false
            referencedRelation: "users_vv"
            referencedColumns: ["uid"]
          },
        ]
      }
      zebra: {
        Row: {
          a: number | null
        }
        ComputedFields: never
        Insert: {
          a?: number | null
        }
        Update: {
          a?: number | null
        }
        Relationships: []
      }
      zebrá: {
        Row: {
          a: number | null
        }
        ComputedFields: never
        Insert: {
          a?: number | null
        }
        Update: {
          a?: number | null
        }
        Relationships: []
      }
      "zebra x": {
        Row: {
          a: number | null
        }
        ComputedFields: never
        Insert: {
          a?: number | null
        }
        Update: {
          a?: number | null
        }
        Relationships: []
      }
      "zebra-x": {
        Row: {
          a: number | null
        }
        ComputedFields: never
        Insert: {
          a?: number | null
        }
        Update: {
          a?: number | null
        }
        Relationships: []
      }
      Zebra2: {
        Row: {
          a: number | null
        }
        ComputedFields: never
        Insert: {
          a?: number | null
        }
        Update: {
          a?: number | null
        }
        Relationships: []
      }
      日本語: {
        Row: {
          id: number
          列: string | null
        }
        ComputedFields: never
        Insert: {
          id: number
          列?: string | null
        }
        Update: {
          id?: number
          列?: string | null
        }
        Relationships: []
      }
    }
    Views: {
      agg: {
        Row: {
          n: number | null
          user_id: number | null
        }
        ComputedFields: never
        Relationships: [
          {
            foreignKeyName: "orders_user_id_fkey"
            columns: ["user_id"]
            isOneToOne: true
            referencedRelation: "mat"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "orders_user_id_fkey"
            columns: ["user_id"]
            isOneToOne: true
            referencedRelation: "partial_upd"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "orders_user_id_fkey"
            columns: ["user_id"]
            isOneToOne: true
            referencedRelation: "users"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "orders_user_id_fkey"
            columns: ["user_id"]
            isOneToOne: true
            referencedRelation: "users_v"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "orders_user_id_fkey"
            columns: ["user_id"]
            isOneToOne: true
            referencedRelation: "users_vv"
            referencedColumns: ["uid"]
          },
        ]
      }
      fkview: {
        Row: {
          line: number
          name: string
          num: number
          org: number
        }
        ComputedFields: never
        Relationships: [
          {
            foreignKeyName: "a_very_long_constraint_name_for_breaking_lines"
            columns: ["num", "org"]
            isOneToOne: false
            referencedRelation: "orders"
            referencedColumns: ["num", "org"]
          },
          {
            foreignKeyName: "a_very_long_constraint_name_for_breaking_lines"
            columns: ["num", "org"]
            isOneToOne: false
            referencedRelation: "orders_simple"
            referencedColumns: ["n", "o"]
          },
          {
            foreignKeyName: "a_very_long_constraint_name_for_breaking_lines"
            columns: ["num", "org"]
            isOneToOne: false
            referencedRelation: "orders_v"
            referencedColumns: ["num", "org"]
          },
          {
            foreignKeyName: "order_items_org_num_fkey"
            columns: ["org", "num"]
            isOneToOne: false
            referencedRelation: "orders"
            referencedColumns: ["org", "num"]
          },
          {
            foreignKeyName: "order_items_org_num_fkey"
            columns: ["org", "num"]
            isOneToOne: false
            referencedRelation: "orders_simple"
            referencedColumns: ["o", "n"]
          },
          {
            foreignKeyName: "order_items_org_num_fkey"
            columns: ["org", "num"]
            isOneToOne: false
            referencedRelation: "orders_v"
            referencedColumns: ["org", "num"]
          },
        ]
      }
      lit: {
        Row: {
          arr: number[] | null
          m: Database["public"]["Enums"]["mood"] | null
          one: number | null
          t: string | null
        }
        ComputedFields: never
        Relationships: []
      }
      m_on_view: {
        Row: {
          id: number
          name: string
          field_of_mat: boolean | null
        }
        ComputedFields: "field_of_mat"
        Relationships: []
      }
      mat: {
        Row: {
          id: number
          name: string
        }
        ComputedFields: never
        Relationships: []
      }
      orders_simple: {
        Row: {
          n: number
          o: number
          uid: number | null
          uid2: number | null
        }
        ComputedFields: never
        Insert: {
          n?: number | null
          o?: number | null
          uid?: number | null
          uid2?: number | null
        }
        Update: {
          n?: number | null
          o?: number | null
          uid?: number | null
          uid2?: number | null
        }
        Relationships: [
          {
            foreignKeyName: "orders_user_id_fkey"
            columns: ["uid"]
            isOneToOne: true
            referencedRelation: "mat"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "orders_user_id_fkey"
            columns: ["uid2"]
            isOneToOne: true
            referencedRelation: "mat"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "orders_user_id_fkey"
            columns: ["uid"]
            isOneToOne: true
            referencedRelation: "partial_upd"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "orders_user_id_fkey"
            columns: ["uid2"]
            isOneToOne: true
            referencedRelation: "partial_upd"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "orders_user_id_fkey"
            columns: ["uid"]
            isOneToOne: true
            referencedRelation: "users"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "orders_user_id_fkey"
            columns: ["uid2"]
            isOneToOne: true
            referencedRelation: "users"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "orders_user_id_fkey"
            columns: ["uid"]
            isOneToOne: true
            referencedRelation: "users_v"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "orders_user_id_fkey"
            columns: ["uid2"]
            isOneToOne: true
            referencedRelation: "users_v"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "orders_user_id_fkey"
            columns: ["uid"]
            isOneToOne: true
            referencedRelation: "users_vv"
            referencedColumns: ["uid"]
          },
          {
            foreignKeyName: "orders_user_id_fkey"
            columns: ["uid2"]
            isOneToOne: true
            referencedRelation: "users_vv"
            referencedColumns: ["uid"]
          },
        ]
      }
      orders_v: {
        Row: {
          name: string
          num: number
          org: number
          user_id: number | null
        }
        ComputedFields: never
        Relationships: [
          {
            foreignKeyName: "orders_user_id_fkey"
            columns: ["user_id"]
            isOneToOne: true
            referencedRelation: "mat"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "orders_user_id_fkey"
            columns: ["user_id"]
            isOneToOne: true
            referencedRelation: "partial_upd"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "orders_user_id_fkey"
            columns: ["user_id"]
            isOneToOne: true
            referencedRelation: "users"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "orders_user_id_fkey"
            columns: ["user_id"]
            isOneToOne: true
            referencedRelation: "users_v"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "orders_user_id_fkey"
            columns: ["user_id"]
            isOneToOne: true
            referencedRelation: "users_vv"
            referencedColumns: ["uid"]
          },
        ]
      }
      partial_upd: {
        Row: {
          id: number
          name: string
          up: string | null
        }
        ComputedFields: never
        Insert: {
          id?: number | null
          name?: string | null
          up?: never
        }
        Update: {
          id?: number | null
          name?: string | null
          up?: never
        }
        Relationships: []
      }
      ruled: {
        Row: {
          n: number | null
        }
        ComputedFields: never
        Insert: {
          n?: number | null
        }
        Relationships: []
      }
      trig: {
        Row: {
          n: number | null
          user_id: number | null
        }
        ComputedFields: never
        Insert: {
          n?: number | null
          user_id?: number | null
        }
        Relationships: [
          {
            foreignKeyName: "orders_user_id_fkey"
            columns: ["user_id"]
            isOneToOne: true
            referencedRelation: "mat"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "orders_user_id_fkey"
            columns: ["user_id"]
            isOneToOne: true
            referencedRelation: "partial_upd"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "orders_user_id_fkey"
            columns: ["user_id"]
            isOneToOne: true
            referencedRelation: "users"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "orders_user_id_fkey"
            columns: ["user_id"]
            isOneToOne: true
            referencedRelation: "users_v"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "orders_user_id_fkey"
            columns: ["user_id"]
            isOneToOne: true
            referencedRelation: "users_vv"
            referencedColumns: ["uid"]
          },
        ]
      }
      trigu: {
        Row: {
          n: number | null
          user_id: number | null
        }
        ComputedFields: never
        Update: {
          n?: number | null
          user_id?: number | null
        }
        Relationships: [
          {
            foreignKeyName: "orders_user_id_fkey"
            columns: ["user_id"]
            isOneToOne: true
            referencedRelation: "mat"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "orders_user_id_fkey"
            columns: ["user_id"]
            isOneToOne: true
            referencedRelation: "partial_upd"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "orders_user_id_fkey"
            columns: ["user_id"]
            isOneToOne: true
            referencedRelation: "users"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "orders_user_id_fkey"
            columns: ["user_id"]
            isOneToOne: true
            referencedRelation: "users_v"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "orders_user_id_fkey"
            columns: ["user_id"]
            isOneToOne: true
            referencedRelation: "users_vv"
            referencedColumns: ["uid"]
          },
        ]
      }
      users_v: {
        Row: {
          email: string | null
          id: number
          meta: NonNullable<Json>
          name: string
          view_field: number | null
          view_orders: {
            num: number
            org: number
            parent_num: number | null
            parent_org: number | null
            user_id: number | null
          } | null
        }
        ComputedFields: "view_field" | "view_orders"
        Insert: {
          email?: string | null
          id?: number | null
          meta?: Json | null
          name?: string | null
        }
        Update: {
          email?: string | null
          id?: number | null
          meta?: Json | null
          name?: string | null
        }
        Relationships: []
      }
      users_vv: {
        Row: {
          name: string
          uid: number
        }
        ComputedFields: never
        Insert: {
          name?: string | null
          uid?: number | null
        }
        Update: {
          name?: string | null
          uid?: number | null
        }
        Relationships: []
      }
      uses_other: {
        Row: {
          book: number | null
          id: number
        }
        ComputedFields: never
        Insert: {
          book?: number | null
          id?: number | null
        }
        Update: {
          book?: number | null
          id?: number | null
        }
        Relationships: [
          {
            foreignKeyName: "uses_public_book_fkey"
            columns: ["book"]
            isOneToOne: false
            referencedRelation: "books"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "uses_public_book_fkey"
            columns: ["book"]
            isOneToOne: false
            referencedRelation: "m_on_view"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "uses_public_book_fkey"
            columns: ["book"]
            isOneToOne: false
            referencedRelation: "v_cte"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "uses_public_book_fkey"
            columns: ["book"]
            isOneToOne: false
            referencedRelation: "v_cte"
            referencedColumns: ["x"]
          },
          {
            foreignKeyName: "uses_public_book_fkey"
            columns: ["book"]
            isOneToOne: false
            referencedRelation: "v_cte_deep"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "uses_public_book_fkey"
            columns: ["book"]
            isOneToOne: false
            referencedRelation: "v_distinct"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "uses_public_book_fkey"
            columns: ["book"]
            isOneToOne: false
            referencedRelation: "v_exists"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "uses_public_book_fkey"
            columns: ["book"]
            isOneToOne: false
            referencedRelation: "v_full"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "uses_public_book_fkey"
            columns: ["book"]
            isOneToOne: false
            referencedRelation: "v_inner"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "uses_public_book_fkey"
            columns: ["book"]
            isOneToOne: false
            referencedRelation: "v_lateral"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "uses_public_book_fkey"
            columns: ["book"]
            isOneToOne: false
            referencedRelation: "v_lateral_left"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "uses_public_book_fkey"
            columns: ["book"]
            isOneToOne: false
            referencedRelation: "v_left"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "uses_public_book_fkey"
            columns: ["book"]
            isOneToOne: false
            referencedRelation: "v_mixed_join"
            referencedColumns: ["b"]
          },
          {
            foreignKeyName: "uses_public_book_fkey"
            columns: ["book"]
            isOneToOne: false
            referencedRelation: "v_nested_join"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "uses_public_book_fkey"
            columns: ["book"]
            isOneToOne: false
            referencedRelation: "v_odd_names"
            referencedColumns: [":resno 5"]
          },
          {
            foreignKeyName: "uses_public_book_fkey"
            columns: ["book"]
            isOneToOne: false
            referencedRelation: "v_odd_names"
            referencedColumns: ["a {b}"]
          },
          {
            foreignKeyName: "uses_public_book_fkey"
            columns: ["book"]
            isOneToOne: false
            referencedRelation: "v_on_view"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "uses_public_book_fkey"
            columns: ["book"]
            isOneToOne: false
            referencedRelation: "v_right"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "uses_public_book_fkey"
            columns: ["book"]
            isOneToOne: false
            referencedRelation: "v_sub"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "uses_public_book_fkey"
            columns: ["book"]
            isOneToOne: false
            referencedRelation: "v_through"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "uses_public_book_fkey"
            columns: ["book"]
            isOneToOne: false
            referencedRelation: "v_using"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "uses_public_book_fkey"
            columns: ["book"]
            isOneToOne: false
            referencedRelation: "v_using_left"
            referencedColumns: ["id"]
          },
        ]
      }
      v_cte: {
        Row: {
          id: number
          price: number | null
          title: string
          x: number
        }
        ComputedFields: never
        Relationships: []
      }
      v_cte_deep: {
        Row: {
          id: number
        }
        ComputedFields: never
        Relationships: []
      }
      v_distinct: {
        Row: {
          author_id: number
          id: number
          title: string
        }
        ComputedFields: never
        Relationships: [
          {
            foreignKeyName: "books_author_id_fkey"
            columns: ["author_id"]
            isOneToOne: false
            referencedRelation: "authors"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "books_author_id_fkey"
            columns: ["author_id"]
            isOneToOne: false
            referencedRelation: "v_left"
            referencedColumns: ["author_id"]
          },
          {
            foreignKeyName: "books_author_id_fkey"
            columns: ["author_id"]
            isOneToOne: false
            referencedRelation: "v_mixed_join"
            referencedColumns: ["a"]
          },
          {
            foreignKeyName: "books_author_id_fkey"
            columns: ["author_id"]
            isOneToOne: false
            referencedRelation: "v_mixed_join"
            referencedColumns: ["c"]
          },
          {
            foreignKeyName: "books_author_id_fkey"
            columns: ["author_id"]
            isOneToOne: false
            referencedRelation: "v_twice"
            referencedColumns: ["one"]
          },
          {
            foreignKeyName: "books_author_id_fkey"
            columns: ["author_id"]
            isOneToOne: false
            referencedRelation: "v_twice"
            referencedColumns: ["two"]
          },
        ]
      }
      v_domain: {
        Row: {
          age: number | null
          nn: string
        }
        ComputedFields: never
        Insert: {
          age?: number | null
          nn?: string | null
        }
        Update: {
          age?: number | null
          nn?: string | null
        }
        Relationships: []
      }
      v_exists: {
        Row: {
          id: number
        }
        ComputedFields: never
        Insert: {
          id?: number | null
        }
        Update: {
          id?: number | null
        }
        Relationships: []
      }
      v_full: {
        Row: {
          id: number | null
          name: string | null
        }
        ComputedFields: never
        Relationships: []
      }
      v_function: {
        Row: {
          n: number | null
        }
        ComputedFields: never
        Relationships: []
      }
      v_group: {
        Row: {
          author_id: number
          last: string | null
          n: number | null
        }
        ComputedFields: never
        Relationships: [
          {
            foreignKeyName: "books_author_id_fkey"
            columns: ["author_id"]
            isOneToOne: false
            referencedRelation: "authors"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "books_author_id_fkey"
            columns: ["author_id"]
            isOneToOne: false
            referencedRelation: "v_left"
            referencedColumns: ["author_id"]
          },
          {
            foreignKeyName: "books_author_id_fkey"
            columns: ["author_id"]
            isOneToOne: false
            referencedRelation: "v_mixed_join"
            referencedColumns: ["a"]
          },
          {
            foreignKeyName: "books_author_id_fkey"
            columns: ["author_id"]
            isOneToOne: false
            referencedRelation: "v_mixed_join"
            referencedColumns: ["c"]
          },
          {
            foreignKeyName: "books_author_id_fkey"
            columns: ["author_id"]
            isOneToOne: false
            referencedRelation: "v_twice"
            referencedColumns: ["one"]
          },
          {
            foreignKeyName: "books_author_id_fkey"
            columns: ["author_id"]
            isOneToOne: false
            referencedRelation: "v_twice"
            referencedColumns: ["two"]
          },
        ]
      }
      v_group_two: {
        Row: {
          author_id: number
          editor_id: number | null
          n: number | null
        }
        ComputedFields: never
        Relationships: [
          {
            foreignKeyName: "books_author_id_fkey"
            columns: ["author_id"]
            isOneToOne: false
            referencedRelation: "authors"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "books_author_id_fkey"
            columns: ["author_id"]
            isOneToOne: false
            referencedRelation: "v_left"
            referencedColumns: ["author_id"]
          },
          {
            foreignKeyName: "books_author_id_fkey"
            columns: ["author_id"]
            isOneToOne: false
            referencedRelation: "v_mixed_join"
            referencedColumns: ["a"]
          },
          {
            foreignKeyName: "books_author_id_fkey"
            columns: ["author_id"]
            isOneToOne: false
            referencedRelation: "v_mixed_join"
            referencedColumns: ["c"]
          },
          {
            foreignKeyName: "books_author_id_fkey"
            columns: ["author_id"]
            isOneToOne: false
            referencedRelation: "v_twice"
            referencedColumns: ["one"]
          },
          {
            foreignKeyName: "books_author_id_fkey"
            columns: ["author_id"]
            isOneToOne: false
            referencedRelation: "v_twice"
            referencedColumns: ["two"]
          },
          {
            foreignKeyName: "books_editor_id_fkey"
            columns: ["editor_id"]
            isOneToOne: false
            referencedRelation: "authors"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "books_editor_id_fkey"
            columns: ["editor_id"]
            isOneToOne: false
            referencedRelation: "v_left"
            referencedColumns: ["author_id"]
          },
          {
            foreignKeyName: "books_editor_id_fkey"
            columns: ["editor_id"]
            isOneToOne: false
            referencedRelation: "v_mixed_join"
            referencedColumns: ["a"]
          },
          {
            foreignKeyName: "books_editor_id_fkey"
            columns: ["editor_id"]
            isOneToOne: false
            referencedRelation: "v_mixed_join"
            referencedColumns: ["c"]
          },
          {
            foreignKeyName: "books_editor_id_fkey"
            columns: ["editor_id"]
            isOneToOne: false
            referencedRelation: "v_twice"
            referencedColumns: ["one"]
          },
          {
            foreignKeyName: "books_editor_id_fkey"
            columns: ["editor_id"]
            isOneToOne: false
            referencedRelation: "v_twice"
            referencedColumns: ["two"]
          },
        ]
      }
      v_inner: {
        Row: {
          id: number
          name: string
          price: number | null
          upper: string | null
        }
        ComputedFields: never
        Relationships: []
      }
      v_lateral: {
        Row: {
          id: number
          name: string
        }
        ComputedFields: never
        Relationships: []
      }
      v_lateral_left: {
        Row: {
          id: number
          name: string | null
        }
        ComputedFields: never
        Relationships: []
      }
      v_left: {
        Row: {
          author: string | null
          author_id: number | null
          id: number
          title: string
          author_of: {
            boss: number | null
            id: number
            name: string
          } | null
        }
        ComputedFields: "author_of"
        Relationships: []
      }
      v_mixed_join: {
        Row: {
          a: number
          b: number | null
          c: number | null
        }
        ComputedFields: never
        Relationships: []
      }
      v_nested_join: {
        Row: {
          boss_name: string | null
          id: number
          name: string | null
        }
        ComputedFields: never
        Relationships: []
      }
      v_odd_names: {
        Row: {
          ":resno 5": number
          "<>": string
          "a {b}": number
          'c (d) \\ "e"': string
        }
        ComputedFields: never
        Insert: {
          ":resno 5"?: number | null
          "<>"?: string | null
          "a {b}"?: number | null
          'c (d) \\ "e"'?: string | null
        }
        Update: {
          ":resno 5"?: number | null
          "<>"?: string | null
          "a {b}"?: number | null
          'c (d) \\ "e"'?: string | null
        }
        Relationships: []
      }
      v_on_view: {
        Row: {
          author: string | null
          id: number
          title: string
        }
        ComputedFields: never
        Relationships: []
      }
      v_one_pair: {
        Row: {
          x: number
          y: number
        }
        ComputedFields: never
        Insert: {
          x?: number | null
          y?: number | null
        }
        Update: {
          x?: number | null
          y?: number | null
        }
        Relationships: [
          {
            foreignKeyName: "one_pair_x_y_fkey"
            columns: ["x", "y"]
            isOneToOne: true
            referencedRelation: "pairs"
            referencedColumns: ["a", "b"]
          },
          {
            foreignKeyName: "one_pair_x_y_fkey"
            columns: ["x", "y"]
            isOneToOne: true
            referencedRelation: "v_pairs"
            referencedColumns: ["a1", "b1"]
          },
          {
            foreignKeyName: "one_pair_x_y_fkey"
            columns: ["x", "y"]
            isOneToOne: true
            referencedRelation: "v_pairs"
            referencedColumns: ["a1", "b2"]
          },
          {
            foreignKeyName: "one_pair_x_y_fkey"
            columns: ["x", "y"]
            isOneToOne: true
            referencedRelation: "v_pairs"
            referencedColumns: ["a2", "b1"]
          },
          {
            foreignKeyName: "one_pair_x_y_fkey"
            columns: ["x", "y"]
            isOneToOne: true
            referencedRelation: "v_pairs"
            referencedColumns: ["a2", "b2"]
          },
        ]
      }
      v_order: {
        Row: {
          title: string
        }
        ComputedFields: never
        Insert: {
          title?: string | null
        }
        Update: {
          title?: string | null
        }
        Relationships: []
      }
      v_pairs: {
        Row: {
          a1: number
          a2: number
          b1: number
          b2: number
        }
        ComputedFields: never
        Insert: {
          a1?: number | null
          a2?: number | null
          b1?: number | null
          b2?: number | null
        }
        Update: {
          a1?: number | null
          a2?: number | null
          b1?: number | null
          b2?: number | null
        }
        Relationships: []
      }
      v_pairs_partly: {
        Row: {
          a: number
        }
        ComputedFields: never
        Insert: {
          a?: number | null
        }
        Update: {
          a?: number | null
        }
        Relationships: []
      }
      v_rec: {
        Row: {
          id: number | null
        }
        ComputedFields: never
        Relationships: []
      }
      v_right: {
        Row: {
          author: string
          id: number | null
          title: string | null
        }
        ComputedFields: never
        Relationships: []
      }
      v_said: {
        Row: {
          price: number
          title: string | null
        }
        ComputedFields: never
        Relationships: []
      }
      v_sets: {
        Row: {
          author_id: number | null
          n: number | null
          title: string | null
        }
        ComputedFields: never
        Relationships: [
          {
            foreignKeyName: "books_author_id_fkey"
            columns: ["author_id"]
            isOneToOne: false
            referencedRelation: "authors"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "books_author_id_fkey"
            columns: ["author_id"]
            isOneToOne: false
            referencedRelation: "v_left"
            referencedColumns: ["author_id"]
          },
          {
            foreignKeyName: "books_author_id_fkey"
            columns: ["author_id"]
            isOneToOne: false
            referencedRelation: "v_mixed_join"
            referencedColumns: ["a"]
          },
          {
            foreignKeyName: "books_author_id_fkey"
            columns: ["author_id"]
            isOneToOne: false
            referencedRelation: "v_mixed_join"
            referencedColumns: ["c"]
          },
          {
            foreignKeyName: "books_author_id_fkey"
            columns: ["author_id"]
            isOneToOne: false
            referencedRelation: "v_twice"
            referencedColumns: ["one"]
          },
          {
            foreignKeyName: "books_author_id_fkey"
            columns: ["author_id"]
            isOneToOne: false
            referencedRelation: "v_twice"
            referencedColumns: ["two"]
          },
        ]
      }
      v_sub: {
        Row: {
          id: number
          title: string
        }
        ComputedFields: never
        Relationships: []
      }
      v_through: {
        Row: {
          author_id: number
          id: number
        }
        ComputedFields: never
        Insert: {
          author_id?: number | null
          id?: number | null
        }
        Update: {
          author_id?: number | null
          id?: number | null
        }
        Relationships: [
          {
            foreignKeyName: "books_author_id_fkey"
            columns: ["author_id"]
            isOneToOne: false
            referencedRelation: "authors"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "books_author_id_fkey"
            columns: ["author_id"]
            isOneToOne: false
            referencedRelation: "v_left"
            referencedColumns: ["author_id"]
          },
          {
            foreignKeyName: "books_author_id_fkey"
            columns: ["author_id"]
            isOneToOne: false
            referencedRelation: "v_mixed_join"
            referencedColumns: ["a"]
          },
          {
            foreignKeyName: "books_author_id_fkey"
            columns: ["author_id"]
            isOneToOne: false
            referencedRelation: "v_mixed_join"
            referencedColumns: ["c"]
          },
          {
            foreignKeyName: "books_author_id_fkey"
            columns: ["author_id"]
            isOneToOne: false
            referencedRelation: "v_twice"
            referencedColumns: ["one"]
          },
          {
            foreignKeyName: "books_author_id_fkey"
            columns: ["author_id"]
            isOneToOne: false
            referencedRelation: "v_twice"
            referencedColumns: ["two"]
          },
        ]
      }
      v_through_unseen: {
        Row: {
          author_id: number
          id: number
        }
        ComputedFields: never
        Insert: {
          author_id?: number | null
          id?: number | null
        }
        Update: {
          author_id?: number | null
          id?: number | null
        }
        Relationships: []
      }
      v_twice: {
        Row: {
          name: string
          one: number
          two: number
        }
        ComputedFields: never
        Insert: {
          name?: string | null
          one?: number | null
          two?: number | null
        }
        Update: {
          name?: string | null
          one?: number | null
          two?: number | null
        }
        Relationships: []
      }
      v_union: {
        Row: {
          id: number | null
        }
        ComputedFields: never
        Relationships: []
      }
      v_using: {
        Row: {
          author_id: number
          editor_id: number | null
          id: number
          other_name: string
          price: number | null
          title: string
        }
        ComputedFields: never
        Relationships: [
          {
            foreignKeyName: "books_author_id_fkey"
            columns: ["author_id"]
            isOneToOne: false
            referencedRelation: "authors"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "books_author_id_fkey"
            columns: ["author_id"]
            isOneToOne: false
            referencedRelation: "v_left"
            referencedColumns: ["author_id"]
          },
          {
            foreignKeyName: "books_author_id_fkey"
            columns: ["author_id"]
            isOneToOne: false
            referencedRelation: "v_mixed_join"
            referencedColumns: ["a"]
          },
          {
            foreignKeyName: "books_author_id_fkey"
            columns: ["author_id"]
            isOneToOne: false
            referencedRelation: "v_mixed_join"
            referencedColumns: ["c"]
          },
          {
            foreignKeyName: "books_author_id_fkey"
            columns: ["author_id"]
            isOneToOne: false
            referencedRelation: "v_twice"
            referencedColumns: ["one"]
          },
          {
            foreignKeyName: "books_author_id_fkey"
            columns: ["author_id"]
            isOneToOne: false
            referencedRelation: "v_twice"
            referencedColumns: ["two"]
          },
          {
            foreignKeyName: "books_editor_id_fkey"
            columns: ["editor_id"]
            isOneToOne: false
            referencedRelation: "authors"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "books_editor_id_fkey"
            columns: ["editor_id"]
            isOneToOne: false
            referencedRelation: "v_left"
            referencedColumns: ["author_id"]
          },
          {
            foreignKeyName: "books_editor_id_fkey"
            columns: ["editor_id"]
            isOneToOne: false
            referencedRelation: "v_mixed_join"
            referencedColumns: ["a"]
          },
          {
            foreignKeyName: "books_editor_id_fkey"
            columns: ["editor_id"]
            isOneToOne: false
            referencedRelation: "v_mixed_join"
            referencedColumns: ["c"]
          },
          {
            foreignKeyName: "books_editor_id_fkey"
            columns: ["editor_id"]
            isOneToOne: false
            referencedRelation: "v_twice"
            referencedColumns: ["one"]
          },
          {
            foreignKeyName: "books_editor_id_fkey"
            columns: ["editor_id"]
            isOneToOne: false
            referencedRelation: "v_twice"
            referencedColumns: ["two"]
          },
        ]
      }
      v_using_left: {
        Row: {
          author_id: number
          editor_id: number | null
          id: number
          other_name: string | null
          price: number | null
          title: string
        }
        ComputedFields: never
        Relationships: [
          {
            foreignKeyName: "books_author_id_fkey"
            columns: ["author_id"]
            isOneToOne: false
            referencedRelation: "authors"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "books_author_id_fkey"
            columns: ["author_id"]
            isOneToOne: false
            referencedRelation: "v_left"
            referencedColumns: ["author_id"]
          },
          {
            foreignKeyName: "books_author_id_fkey"
            columns: ["author_id"]
            isOneToOne: false
            referencedRelation: "v_mixed_join"
            referencedColumns: ["a"]
          },
          {
            foreignKeyName: "books_author_id_fkey"
            columns: ["author_id"]
            isOneToOne: false
            referencedRelation: "v_mixed_join"
            referencedColumns: ["c"]
          },
          {
            foreignKeyName: "books_author_id_fkey"
            columns: ["author_id"]
            isOneToOne: false
            referencedRelation: "v_twice"
            referencedColumns: ["one"]
          },
          {
            foreignKeyName: "books_author_id_fkey"
            columns: ["author_id"]
            isOneToOne: false
            referencedRelation: "v_twice"
            referencedColumns: ["two"]
          },
          {
            foreignKeyName: "books_editor_id_fkey"
            columns: ["editor_id"]
            isOneToOne: false
            referencedRelation: "authors"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "books_editor_id_fkey"
            columns: ["editor_id"]
            isOneToOne: false
            referencedRelation: "v_left"
            referencedColumns: ["author_id"]
          },
          {
            foreignKeyName: "books_editor_id_fkey"
            columns: ["editor_id"]
            isOneToOne: false
            referencedRelation: "v_mixed_join"
            referencedColumns: ["a"]
          },
          {
            foreignKeyName: "books_editor_id_fkey"
            columns: ["editor_id"]
            isOneToOne: false
            referencedRelation: "v_mixed_join"
            referencedColumns: ["c"]
          },
          {
            foreignKeyName: "books_editor_id_fkey"
            columns: ["editor_id"]
            isOneToOne: false
            referencedRelation: "v_twice"
            referencedColumns: ["one"]
          },
          {
            foreignKeyName: "books_editor_id_fkey"
            columns: ["editor_id"]
            isOneToOne: false
            referencedRelation: "v_twice"
            referencedColumns: ["two"]
          },
        ]
      }
      v_values: {
        Row: {
          n: number | null
          s: string | null
        }
        ComputedFields: never
        Relationships: []
      }
    }
    Functions: {
      a_function_with_a_very_long_name_indeed_it_is: {
        Args: Record<PropertyKey, never>
        Returns: {
          x: number
        }[]
      }
      all_default_unnamed: { Args: { ""?: string; ""?: Json }; Returns: number }
      args: {
        Args: {
          a: number
          b?: string
          c?: Database["public"]["Enums"]["mood"]
          d?: number[]
        }
        Returns: string
      }
      author_of: {
        Args: {
          b: Omit<
            Database["public"]["Views"]["v_left"]["Row"],
            Database["public"]["Views"]["v_left"]["ComputedFields"]
          >
        }
        Returns: {
          boss: number | null
          id: number
          name: string
        }[]
        SetofOptions: {
          from: "v_left"
          to: "authors"
          isOneToOne: false
          isSetofReturn: true
        }
      }
      books_of: {
        Args: { "": Database["public"]["Tables"]["authors"]["Row"] }
        Returns: {
          error: true
        } & "the function public.books_of with parameter or with a single unnamed json/jsonb parameter, but no matches were found in the schema cache"
        SetofOptions: {
          from: "authors"
          to: "books"
          isOneToOne: true
          isSetofReturn: true
        }
      }
      default_row: {
        Args: {
          a?: Omit<
            Database["public"]["Tables"]["authors"]["Row"],
            Database["public"]["Tables"]["authors"]["ComputedFields"]
          >
        }
        Returns: number
      }
      defaults: { Args: { a: number; b?: number; c?: number }; Returns: number }
      defaults_out: { Args: { a?: number; b: number }; Returns: number }
      field_hidden: {
        Args: { "": Database["public"]["Tables"]["authors"]["Row"] }
        Returns: {
          error: true
        } & "the function public.field_hidden with parameter or with a single unnamed json/jsonb parameter, but no matches were found in the schema cache"
      }
      field_json: {
        Args: { "": Database["public"]["Tables"]["authors"]["Row"] }
        Returns: {
          error: true
        } & "the function public.field_json with parameter or with a single unnamed json/jsonb parameter, but no matches were found in the schema cache"
      }
      field_of_mat: {
        Args: { "": Database["public"]["Views"]["m_on_view"]["Row"] }
        Returns: {
          error: true
        } & "the function public.field_of_mat with parameter or with a single unnamed json/jsonb parameter, but no matches were found in the schema cache"
      }
      field_out: {
        Args: { "": Database["public"]["Tables"]["authors"]["Row"] }
        Returns: {
          error: true
        } & "the function public.field_out with parameter or with a single unnamed json/jsonb parameter, but no matches were found in the schema cache"
      }
      field_record: {
        Args: { "": Database["public"]["Tables"]["authors"]["Row"] }
        Returns: {
          error: true
        } & "the function public.field_record with parameter or with a single unnamed json/jsonb parameter, but no matches were found in the schema cache"
      }
      field_void: {
        Args: { "": Database["public"]["Tables"]["authors"]["Row"] }
        Returns: {
          error: true
        } & "the function public.field_void with parameter or with a single unnamed json/jsonb parameter, but no matches were found in the schema cache"
      }
      file_fdw_handler: { Args: Record<PropertyKey, never>; Returns: unknown }
      floatmultirange: { Args: Record<PropertyKey, never>; Returns: unknown }
      ft_field: {
        Args: { "": Database["public"]["Tables"]["ft"]["Row"] }
        Returns: {
          error: true
        } & "the function public.ft_field with parameter or with a single unnamed json/jsonb parameter, but no matches were found in the schema cache"
      }
      full_name: {
        Args: { "": Database["public"]["Tables"]["users"]["Row"] }
        Returns: {
          error: true
        } & "the function public.full_name with parameter or with a single unnamed json/jsonb parameter, but no matches were found in the schema cache"
      }
      full_name_named: {
        Args: {
          u: Omit<
            Database["public"]["Tables"]["users"]["Row"],
            Database["public"]["Tables"]["users"]["ComputedFields"]
          >
        }
        Returns: string
      }
      function: { Args: { from?: string; select: number }; Returns: number }
      hides_fn: {
        Args: {
          h: "one" | "two"
          ls: (
            | "a rather long label here"
            | "another rather long label"
            | "and a third one to break"
          )[]
        }
        Returns:
          | "a rather long label here"
          | "another rather long label"
          | "and a third one to break"
      }
      hides_row: {
        Args: { "": unknown }
        Returns: {
          error: true
        } & "the function public.hides_row with parameter or with a single unnamed json/jsonb parameter, but no matches were found in the schema cache"
      }
      hides_table: {
        Args: Record<PropertyKey, never>
        Returns: unknown[]
        SetofOptions: {
          from: "*"
          to: "hidden_table"
          isOneToOne: false
          isSetofReturn: true
        }
      }
      inout_only: {
        Args: { a: number; b: string }
        Returns: Record<string, unknown>
      }
      many_args_that_break_the_line: {
        Args: {
          first_argument: number
          fourth?: number
          second_argument: string
          third_argument: Database["public"]["Enums"]["mood"]
        }
        Returns: number
      }
      name: {
        Args: { "": Database["public"]["Tables"]["authors"]["Row"] }
        Returns: {
          error: true
        } & "the function public.name with parameter or with a single unnamed json/jsonb parameter, but no matches were found in the schema cache"
      }
      noargs: { Args: Record<PropertyKey, never>; Returns: number }
      one_out: { Args: Record<PropertyKey, never>; Returns: number }
      one_row_of_many: {
        Args: { a: number }
        Returns: {
          addr: Database["public"]["CompositeTypes"]["address"] | null
          addrs: Database["public"]["CompositeTypes"]["address"][] | null
          age: number | null
          b: string | null
          bits: unknown
          ch: string | null
          char: unknown
          created_at: string
          dd: unknown
          email: string | null
          extra: Json | null
          fr: unknown
          i: unknown
          id: number
          iv: string | null
          lab: string[] | null
          m: Database["public"]["Enums"]["mood"] | null
          meta: NonNullable<Json>
          mon: unknown
          moods: Database["public"]["Enums"]["mood"][] | null
          mr: unknown
          nam: unknown
          name: string
          nn: string
          o: Database["other"]["Enums"]["status"] | null
          oidc: unknown
          om: Database["other"]["Enums"]["mood"][] | null
          p3: Database["other"]["CompositeTypes"]["point3"] | null
          pt: unknown
          r: unknown
          ts: unknown
          tt: string | null
          two: number[] | null
          u: string | null
          x: unknown
        }
        SetofOptions: {
          from: "*"
          to: "users"
          isOneToOne: true
          isSetofReturn: true
        }
      }
      one_user: {
        Args: Record<PropertyKey, never>
        Returns: {
          addr: Database["public"]["CompositeTypes"]["address"] | null
          addrs: Database["public"]["CompositeTypes"]["address"][] | null
          age: number | null
          b: string | null
          bits: unknown
          ch: string | null
          char: unknown
          created_at: string
          dd: unknown
          email: string | null
          extra: Json | null
          fr: unknown
          i: unknown
          id: number
          iv: string | null
          lab: string[] | null
          m: Database["public"]["Enums"]["mood"] | null
          meta: NonNullable<Json>
          mon: unknown
          moods: Database["public"]["Enums"]["mood"][] | null
          mr: unknown
          nam: unknown
          name: string
          nn: string
          o: Database["other"]["Enums"]["status"] | null
          oidc: unknown
          om: Database["other"]["Enums"]["mood"][] | null
          p3: Database["other"]["CompositeTypes"]["point3"] | null
          pt: unknown
          r: unknown
          ts: unknown
          tt: string | null
          two: number[] | null
          u: string | null
          x: unknown
        }
        SetofOptions: {
          from: "*"
          to: "users"
          isOneToOne: true
          isSetofReturn: false
        }
      }
      out_args: {
        Args: { a: number; d: number }
        Returns: Record<string, unknown>
      }
      ov:
        | {
            Args: { a: number }
            Returns: {
              error: true
            } & "Could not choose the best candidate function between: public.ov(a => int4), public.ov(a => text). Try renaming the parameters or the function itself in the database so function overloading can be resolved"
          }
        | {
            Args: { a: string }
            Returns: {
              error: true
            } & "Could not choose the best candidate function between: public.ov(a => int4), public.ov(a => text). Try renaming the parameters or the function itself in the database so function overloading can be resolved"
          }
        | { Args: { a: string; b: number }; Returns: string }
      ov2:
        | {
            Args: Record<PropertyKey, never>
            Returns: {
              error: true
            } & "Could not choose the best candidate function between: public.ov2(), public.ov2( => text). Try renaming the parameters or the function itself in the database so function overloading can be resolved"
          }
        | { Args: { ""?: string }; Returns: string }
      ov3:
        | {
            Args: { a: number }
            Returns: {
              addr: Database["public"]["CompositeTypes"]["address"] | null
              addrs: Database["public"]["CompositeTypes"]["address"][] | null
              age: number | null
              b: string | null
              bits: unknown
              ch: string | null
              char: unknown
              created_at: string
              dd: unknown
              email: string | null
              extra: Json | null
              fr: unknown
              i: unknown
              id: number
              iv: string | null
              lab: string[] | null
              m: Database["public"]["Enums"]["mood"] | null
              meta: NonNullable<Json>
              mon: unknown
              moods: Database["public"]["Enums"]["mood"][] | null
              mr: unknown
              nam: unknown
              name: string
              nn: string
              o: Database["other"]["Enums"]["status"] | null
              oidc: unknown
              om: Database["other"]["Enums"]["mood"][] | null
              p3: Database["other"]["CompositeTypes"]["point3"] | null
              pt: unknown
              r: unknown
              ts: unknown
              tt: string | null
              two: number[] | null
              u: string | null
              x: unknown
            }[]
            SetofOptions: {
              from: "*"
              to: "users"
              isOneToOne: false
              isSetofReturn: true
            }
          }
        | { Args: { b: string }; Returns: number[] }
      ov4:
        | {
            Args: { a: number }
            Returns: {
              error: true
            } & "Could not choose the best candidate function between: public.ov4(a => int4), public.ov4(a => text), public.ov4(a => json). Try renaming the parameters or the function itself in the database so function overloading can be resolved"
          }
        | {
            Args: { a: Json }
            Returns: {
              error: true
            } & "Could not choose the best candidate function between: public.ov4(a => int4), public.ov4(a => text), public.ov4(a => json). Try renaming the parameters or the function itself in the database so function overloading can be resolved"
          }
        | {
            Args: { a: string }
            Returns: {
              error: true
            } & "Could not choose the best candidate function between: public.ov4(a => int4), public.ov4(a => text), public.ov4(a => json). Try renaming the parameters or the function itself in the database so function overloading can be resolved"
          }
      ov5:
        | { Args: { a: number; b: number }; Returns: number }
        | { Args: { a: number; b: string }; Returns: number }
      ov6:
        | {
            Args: Record<PropertyKey, never>
            Returns: {
              error: true
            } & "Could not choose the best candidate function between: public.ov6(), public.ov6( => books). Try renaming the parameters or the function itself in the database so function overloading can be resolved"
            SetofOptions: {
              from: "*"
              to: "books"
              isOneToOne: false
              isSetofReturn: true
            }
          }
        | {
            Args: { ""?: Json }
            Returns: {
              author_id: number
              editor_id: number | null
              id: number
              price: number | null
              title: string
            }[]
            SetofOptions: {
              from: "*"
              to: "books"
              isOneToOne: false
              isSetofReturn: true
            }
          }
      poly: { Args: { a: unknown; b: unknown }; Returns: unknown }
      "Quoted Fn": {
        Args: { "Arg One": number; "arg-two": string }
        Returns: number
      }
      quoted_tab: {
        Args: { "": Database["public"]["Tables"]["Quoted Table"]["Row"] }
        Returns: {
          error: true
        } & "the function public.quoted_tab with parameter or with a single unnamed json/jsonb parameter, but no matches were found in the schema cache"
      }
      refcur: { Args: { c: unknown }; Returns: unknown }
      ret_addr: {
        Args: Record<PropertyKey, never>
        Returns: Database["public"]["CompositeTypes"]["address"]
        SetofOptions: {
          from: "*"
          to: "address"
          isOneToOne: true
          isSetofReturn: false
        }
      }
      ret_any: { Args: { a: unknown }; Returns: unknown }
      ret_dom: { Args: Record<PropertyKey, never>; Returns: unknown }
      ret_ft: {
        Args: Record<PropertyKey, never>
        Returns: {
          id: number
          name: string | null
        }[]
        SetofOptions: {
          from: "*"
          to: "ft"
          isOneToOne: false
          isSetofReturn: true
        }
      }
      ret_json: { Args: Record<PropertyKey, never>; Returns: Json }
      ret_mood: {
        Args: Record<PropertyKey, never>
        Returns: Database["public"]["Enums"]["mood"]
      }
      ret_moods: {
        Args: Record<PropertyKey, never>
        Returns: Database["public"]["Enums"]["mood"][]
      }
      ret_other: {
        Args: Record<PropertyKey, never>
        Returns: Database["other"]["Enums"]["status"]
      }
      ret_other_tab: {
        Args: Record<PropertyKey, never>
        Returns: Database["other"]["Tables"]["notes"]["Row"][]
        SetofOptions: {
          from: "*"
          to: "notes"
          isOneToOne: false
          isSetofReturn: true
        }
      }
      ret_other_tab_one: {
        Args: Record<PropertyKey, never>
        Returns: Database["other"]["Tables"]["notes"]["Row"]
        SetofOptions: {
          from: "*"
          to: "notes"
          isOneToOne: true
          isSetofReturn: false
        }
      }
      ret_other_type: {
        Args: Record<PropertyKey, never>
        Returns: Database["other"]["CompositeTypes"]["address"]
        SetofOptions: {
          from: "*"
          to: "address"
          isOneToOne: true
          isSetofReturn: false
        }
      }
      ret_record: {
        Args: Record<PropertyKey, never>
        Returns: Record<string, unknown>
      }
      ret_setof_addr: {
        Args: Record<PropertyKey, never>
        Returns: Database["public"]["CompositeTypes"]["address"][]
        SetofOptions: {
          from: "*"
          to: "address"
          isOneToOne: false
          isSetofReturn: true
        }
      }
      ret_setof_record: {
        Args: Record<PropertyKey, never>
        Returns: Record<string, unknown>[]
      }
      ret_table: {
        Args: { a: number }
        Returns: {
          id: number
          m: Database["public"]["Enums"]["mood"]
          "Name X": string
          t: Database["public"]["Tables"]["users"]["Row"]
        }[]
      }
      ret_users_arr: {
        Args: Record<PropertyKey, never>
        Returns: Database["public"]["Tables"]["users"]["Row"][]
      }
      ret_void: { Args: Record<PropertyKey, never>; Returns: undefined }
      set_of_trigger_rows: {
        Args: Record<PropertyKey, never>
        Returns: {
          n: number | null
          user_id: number | null
        }[]
        SetofOptions: {
          from: "*"
          to: "trig"
          isOneToOne: false
          isSetofReturn: true
        }
      }
      setof_int_one: { Args: Record<PropertyKey, never>; Returns: number[] }
      setof_mat: {
        Args: Record<PropertyKey, never>
        Returns: {
          id: number
          name: string
        }[]
        SetofOptions: {
          from: "*"
          to: "mat"
          isOneToOne: false
          isSetofReturn: true
        }
      }
      setof_mood: {
        Args: Record<PropertyKey, never>
        Returns: Database["public"]["Enums"]["mood"][]
      }
      setof_users: {
        Args: Record<PropertyKey, never>
        Returns: {
          addr: Database["public"]["CompositeTypes"]["address"] | null
          addrs: Database["public"]["CompositeTypes"]["address"][] | null
          age: number | null
          b: string | null
          bits: unknown
          ch: string | null
          char: unknown
          created_at: string
          dd: unknown
          email: string | null
          extra: Json | null
          fr: unknown
          i: unknown
          id: number
          iv: string | null
          lab: string[] | null
          m: Database["public"]["Enums"]["mood"] | null
          meta: NonNullable<Json>
          mon: unknown
          moods: Database["public"]["Enums"]["mood"][] | null
          mr: unknown
          nam: unknown
          name: string
          nn: string
          o: Database["other"]["Enums"]["status"] | null
          oidc: unknown
          om: Database["other"]["Enums"]["mood"][] | null
          p3: Database["other"]["CompositeTypes"]["point3"] | null
          pt: unknown
          r: unknown
          ts: unknown
          tt: string | null
          two: number[] | null
          u: string | null
          x: unknown
        }[]
        SetofOptions: {
          from: "*"
          to: "users"
          isOneToOne: false
          isSetofReturn: true
        }
      }
      setof_users_one: {
        Args: Record<PropertyKey, never>
        Returns: {
          addr: Database["public"]["CompositeTypes"]["address"] | null
          addrs: Database["public"]["CompositeTypes"]["address"][] | null
          age: number | null
          b: string | null
          bits: unknown
          ch: string | null
          char: unknown
          created_at: string
          dd: unknown
          email: string | null
          extra: Json | null
          fr: unknown
          i: unknown
          id: number
          iv: string | null
          lab: string[] | null
          m: Database["public"]["Enums"]["mood"] | null
          meta: NonNullable<Json>
          mon: unknown
          moods: Database["public"]["Enums"]["mood"][] | null
          mr: unknown
          nam: unknown
          name: string
          nn: string
          o: Database["other"]["Enums"]["status"] | null
          oidc: unknown
          om: Database["other"]["Enums"]["mood"][] | null
          p3: Database["other"]["CompositeTypes"]["point3"] | null
          pt: unknown
          r: unknown
          ts: unknown
          tt: string | null
          two: number[] | null
          u: string | null
          x: unknown
        }
        SetofOptions: {
          from: "*"
          to: "users"
          isOneToOne: true
          isSetofReturn: true
        }
      }
      setof_view: {
        Args: Record<PropertyKey, never>
        Returns: {
          email: string | null
          id: number
          meta: NonNullable<Json>
          name: string
        }[]
        SetofOptions: {
          from: "*"
          to: "users_v"
          isOneToOne: false
          isSetofReturn: true
        }
      }
      shown:
        | {
            Args: { "": Database["public"]["Tables"]["authors"]["Row"] }
            Returns: {
              error: true
            } & "the function public.shown with parameter or with a single unnamed json/jsonb parameter, but no matches were found in the schema cache"
          }
        | {
            Args: {
              b: Omit<
                Database["public"]["Tables"]["books"]["Row"],
                Database["public"]["Tables"]["books"]["ComputedFields"]
              >
              times: number
            }
            Returns: number
          }
        | {
            Args: { "": Database["public"]["Tables"]["books"]["Row"] }
            Returns: {
              error: true
            } & "the function public.shown with parameter or with a single unnamed json/jsonb parameter, but no matches were found in the schema cache"
          }
      table_args: {
        Args: { a?: number }
        Returns: {
          "a b": Database["public"]["Tables"]["users"]["Row"]
          m: Database["public"]["Enums"]["mood"][]
          z: number
        }[]
      }
      takes_addr: {
        Args: { "": Database["public"]["CompositeTypes"]["address"] }
        Returns: {
          error: true
        } & "the function public.takes_addr with parameter or with a single unnamed json/jsonb parameter, but no matches were found in the schema cache"
      }
      takes_addr_named: {
        Args: { a: Database["public"]["CompositeTypes"]["address"] }
        Returns: number
      }
      takes_arrays: {
        Args: {
          a: Database["public"]["Tables"]["users"]["Row"][]
          b: Database["public"]["Enums"]["mood"][]
          c: Database["public"]["CompositeTypes"]["address"][]
        }
        Returns: undefined
      }
      takes_other: {
        Args: { "": Database["other"]["Tables"]["notes"]["Row"] }
        Returns: {
          error: true
        } & "the function public.takes_other with parameter or with a single unnamed json/jsonb parameter, but no matches were found in the schema cache"
      }
      takes_part: {
        Args: { "": Database["public"]["Tables"]["events"]["Row"] }
        Returns: {
          error: true
        } & "the function public.takes_part with parameter or with a single unnamed json/jsonb parameter, but no matches were found in the schema cache"
      }
      unnamed_json: { Args: { "": Json }; Returns: number }
      unnamed_jsonb: { Args: { "": Json }; Returns: number }
      unnamed_text: { Args: { "": string }; Returns: number }
      user_addr: {
        Args: { "": Database["public"]["Tables"]["users"]["Row"] }
        Returns: {
          error: true
        } & "the function public.user_addr with parameter or with a single unnamed json/jsonb parameter, but no matches were found in the schema cache"
        SetofOptions: {
          from: "users"
          to: "address"
          isOneToOne: true
          isSetofReturn: false
        }
      }
      user_orders: {
        Args: { "": Database["public"]["Tables"]["users"]["Row"] }
        Returns: {
          error: true
        } & "the function public.user_orders with parameter or with a single unnamed json/jsonb parameter, but no matches were found in the schema cache"
        SetofOptions: {
          from: "users"
          to: "orders"
          isOneToOne: false
          isSetofReturn: true
        }
      }
      user_orders_named: {
        Args: {
          u: Omit<
            Database["public"]["Tables"]["users"]["Row"],
            Database["public"]["Tables"]["users"]["ComputedFields"]
          >
        }
        Returns: {
          num: number
          org: number
          parent_num: number | null
          parent_org: number | null
          user_id: number | null
        }[]
        SetofOptions: {
          from: "users"
          to: "orders"
          isOneToOne: false
          isSetofReturn: true
        }
      }
      user_profile: {
        Args: { "": Database["public"]["Tables"]["users"]["Row"] }
        Returns: {
          error: true
        } & "the function public.user_profile with parameter or with a single unnamed json/jsonb parameter, but no matches were found in the schema cache"
        SetofOptions: {
          from: "users"
          to: "profiles"
          isOneToOne: true
          isSetofReturn: true
        }
      }
      user_profile_one: {
        Args: { "": Database["public"]["Tables"]["users"]["Row"] }
        Returns: {
          error: true
        } & "the function public.user_profile_one with parameter or with a single unnamed json/jsonb parameter, but no matches were found in the schema cache"
        SetofOptions: {
          from: "users"
          to: "profiles"
          isOneToOne: true
          isSetofReturn: false
        }
      }
      user_setof_int: {
        Args: { "": Database["public"]["Tables"]["users"]["Row"] }
        Returns: {
          error: true
        } & "the function public.user_setof_int with parameter or with a single unnamed json/jsonb parameter, but no matches were found in the schema cache"
      }
      user_tab: {
        Args: { "": Database["public"]["Tables"]["users"]["Row"] }
        Returns: {
          error: true
        } & "the function public.user_tab with parameter or with a single unnamed json/jsonb parameter, but no matches were found in the schema cache"
      }
      variadic_only: { Args: { a: string[] }; Returns: number }
      view_field: {
        Args: { "": Database["public"]["Views"]["users_v"]["Row"] }
        Returns: {
          error: true
        } & "the function public.view_field with parameter or with a single unnamed json/jsonb parameter, but no matches were found in the schema cache"
      }
      view_orders: {
        Args: { "": Database["public"]["Views"]["users_v"]["Row"] }
        Returns: {
          error: true
        } & "the function public.view_orders with parameter or with a single unnamed json/jsonb parameter, but no matches were found in the schema cache"
        SetofOptions: {
          from: "users_v"
          to: "orders"
          isOneToOne: false
          isSetofReturn: true
        }
      }
    }
    Enums: {
      constructor_kind:
        | "constructor"
        | "'single'"
        | '"double"'
        | "both'\""
        | ""
        | " "
        | "tab\t"
        | "日本語日本語日本語日本語"
        | "😀"
      long_enum:
        | "first very long label"
        | "second very long label"
        | "third very long label"
        | "fourth"
      mood:
        | "sad"
        | "ok"
        | 'happy "quoted"'
        | "über"
        | "back\\slash"
        | "new\nline"
      "Strange Type": "a"
    }
    CompositeTypes: {
      address: {
        street: string | null
        "Zip Code": number | null
        m: Database["public"]["Enums"]["mood"] | null
        tags: string[] | null
        om: Database["other"]["Enums"]["status"] | null
        nested: Database["public"]["Enums"]["Strange Type"][] | null
      }
      with_domain: {
        a: unknown
        b: unknown
        c: Database["other"]["CompositeTypes"]["address"] | null
        d: Database["public"]["Tables"]["users"]["Row"] | null
        e: Database["public"]["Tables"]["constructor"]["Row"][] | null
      }
    }
  }
  "We ird-schema": {
    Tables: {
      "T a": {
        Row: {
          id: number
          select: Database["public"]["Enums"]["Strange Type"] | null
        }
        ComputedFields: never
        Insert: {
          id: number
          select?: Database["public"]["Enums"]["Strange Type"] | null
        }
        Update: {
          id?: number
          select?: Database["public"]["Enums"]["Strange Type"] | null
        }
        Relationships: []
      }
    }
    Views: {
      [_ in never]: never
    }
    Functions: {
      [_ in never]: never
    }
    Enums: {
      [_ in never]: never
    }
    CompositeTypes: {
      [_ in never]: never
    }
  }
}

type DatabaseWithoutInternals = Omit<Database, "__InternalSupabase">

type DefaultSchema = DatabaseWithoutInternals[Extract<keyof Database, "public">]

export type Tables<
  DefaultSchemaTableNameOrOptions extends
    | keyof (DefaultSchema["Tables"] & DefaultSchema["Views"])
    | { schema: keyof DatabaseWithoutInternals },
  TableName extends (DefaultSchemaTableNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals
  }
    ? keyof (DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"] &
        DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Views"])
    : never) = never,
> = DefaultSchemaTableNameOrOptions extends {
  schema: keyof DatabaseWithoutInternals
}
  ? (DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"] &
      DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Views"])[TableName] extends {
      Row: infer R
    }
    ? R
    : never
  : DefaultSchemaTableNameOrOptions extends keyof (DefaultSchema["Tables"] &
        DefaultSchema["Views"])
    ? (DefaultSchema["Tables"] &
        DefaultSchema["Views"])[DefaultSchemaTableNameOrOptions] extends {
        Row: infer R
      }
      ? R
      : never
    : never

export type TablesInsert<
  DefaultSchemaTableNameOrOptions extends
    | keyof DefaultSchema["Tables"]
    | { schema: keyof DatabaseWithoutInternals },
  TableName extends (DefaultSchemaTableNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals
  }
    ? keyof DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"]
    : never) = never,
> = DefaultSchemaTableNameOrOptions extends {
  schema: keyof DatabaseWithoutInternals
}
  ? DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"][TableName] extends {
      Insert: infer I
    }
    ? I
    : never
  : DefaultSchemaTableNameOrOptions extends keyof DefaultSchema["Tables"]
    ? DefaultSchema["Tables"][DefaultSchemaTableNameOrOptions] extends {
        Insert: infer I
      }
      ? I
      : never
    : never

export type TablesUpdate<
  DefaultSchemaTableNameOrOptions extends
    | keyof DefaultSchema["Tables"]
    | { schema: keyof DatabaseWithoutInternals },
  TableName extends (DefaultSchemaTableNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals
  }
    ? keyof DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"]
    : never) = never,
> = DefaultSchemaTableNameOrOptions extends {
  schema: keyof DatabaseWithoutInternals
}
  ? DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"][TableName] extends {
      Update: infer U
    }
    ? U
    : never
  : DefaultSchemaTableNameOrOptions extends keyof DefaultSchema["Tables"]
    ? DefaultSchema["Tables"][DefaultSchemaTableNameOrOptions] extends {
        Update: infer U
      }
      ? U
      : never
    : never

export type Enums<
  DefaultSchemaEnumNameOrOptions extends
    | keyof DefaultSchema["Enums"]
    | { schema: keyof DatabaseWithoutInternals },
  EnumName extends (DefaultSchemaEnumNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals
  }
    ? keyof DatabaseWithoutInternals[DefaultSchemaEnumNameOrOptions["schema"]]["Enums"]
    : never) = never,
> = DefaultSchemaEnumNameOrOptions extends {
  schema: keyof DatabaseWithoutInternals
}
  ? DatabaseWithoutInternals[DefaultSchemaEnumNameOrOptions["schema"]]["Enums"][EnumName]
  : DefaultSchemaEnumNameOrOptions extends keyof DefaultSchema["Enums"]
    ? DefaultSchema["Enums"][DefaultSchemaEnumNameOrOptions]
    : never

export type CompositeTypes<
  PublicCompositeTypeNameOrOptions extends
    | keyof DefaultSchema["CompositeTypes"]
    | { schema: keyof DatabaseWithoutInternals },
  CompositeTypeName extends (PublicCompositeTypeNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals
  }
    ? keyof DatabaseWithoutInternals[PublicCompositeTypeNameOrOptions["schema"]]["CompositeTypes"]
    : never) = never,
> = PublicCompositeTypeNameOrOptions extends {
  schema: keyof DatabaseWithoutInternals
}
  ? DatabaseWithoutInternals[PublicCompositeTypeNameOrOptions["schema"]]["CompositeTypes"][CompositeTypeName]
  : PublicCompositeTypeNameOrOptions extends keyof DefaultSchema["CompositeTypes"]
    ? DefaultSchema["CompositeTypes"][PublicCompositeTypeNameOrOptions]
    : never

export const Constants = {
  empty: {
    Enums: {},
  },
  other: {
    Enums: {
      mood: ["grim"],
      status: ["on", "off"],
    },
  },
  public: {
    Enums: {
      constructor_kind: [
        "constructor",
        "'single'",
        '"double"',
        "both'\"",
        "",
        " ",
        "tab\t",
        "日本語日本語日本語日本語",
        "😀",
      ],
      long_enum: [
        "first very long label",
        "second very long label",
        "third very long label",
        "fourth",
      ],
      mood: ["sad", "ok", 'happy "quoted"', "über", "back\\slash", "new\nline"],
      "Strange Type": ["a"],
    },
  },
  "We ird-schema": {
    Enums: {},
  },
} as const
