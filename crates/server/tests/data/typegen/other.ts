export type Json =
  | string
  | number
  | boolean
  | null
  | { [key: string]: Json | undefined }
  | Json[]

export type Database = {
  // Allows to automatically instantiate createClient with right options
  // instead of createClient<Database, { PostgrestVersion: 'XX' }>(URL, KEY)
  __InternalSupabase: {
    PostgrestVersion: "14.1"
  }
  other: {
    Tables: {
      mood_log: {
        Row: {
          id: number
          m: Database["other"]["Enums"]["mood"] | null
          note_id: number | null
          pm:
            | "sad"
            | "ok"
            | 'happy "quoted"'
            | "über"
            | "back\\slash"
            | "new\nline"
            | null
        }
        ComputedFields: never
        Insert: {
          id: number
          m?: Database["other"]["Enums"]["mood"] | null
          note_id?: number | null
          pm?:
            | "sad"
            | "ok"
            | 'happy "quoted"'
            | "über"
            | "back\\slash"
            | "new\nline"
            | null
        }
        Update: {
          id?: number
          m?: Database["other"]["Enums"]["mood"] | null
          note_id?: number | null
          pm?:
            | "sad"
            | "ok"
            | 'happy "quoted"'
            | "über"
            | "back\\slash"
            | "new\nline"
            | null
        }
        Relationships: [
          {
            foreignKeyName: "mood_log_note_id_fkey"
            columns: ["note_id"]
            referencedRelation: "notes"
            referencedColumns: ["id"]
          },
          {
            foreignKeyName: "mood_log_note_id_fkey"
            columns: ["note_id"]
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
          user_of: unknown
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
        Args: { "": unknown }
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
        Returns: unknown
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
  unseen: {
    Tables: {
      hidden_table: {
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
    }
    Views: {
      behind: {
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
    }
    Functions: {
      [_ in never]: never
    }
    Enums: {
      hidden: "one" | "two"
      long_hidden:
        | "a rather long label here"
        | "another rather long label"
        | "and a third one to break"
    }
    CompositeTypes: {
      hidden_row: {
        a: number | null
      }
    }
  }
}

type DatabaseWithoutInternals = Omit<Database, "__InternalSupabase">

type DefaultSchema = DatabaseWithoutInternals[Extract<keyof Database, "other">]

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
  other: {
    Enums: {
      mood: ["grim"],
      status: ["on", "off"],
    },
  },
  unseen: {
    Enums: {
      hidden: ["one", "two"],
      long_hidden: [
        "a rather long label here",
        "another rather long label",
        "and a third one to break",
      ],
    },
  },
} as const
